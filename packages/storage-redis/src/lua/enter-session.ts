import { FENCE } from "./fence.ts";

/**
 * What a session does first on each new connection. ARGV: the incarnation of the server, the number of this connection
 * of the session, then for each shard that the session holds its id and its claim.
 *
 * A server that is another one than before, or began anew, may have forgotten writes that it had answered: every claim
 * becomes void then, so that every runner claims and reads its shards again. Epochs go on from the server's time in
 * milliseconds: those that were given out and forgotten are below it, one claim a millisecond being more than any shard sees.
 *
 * On the same server, the session's claims get the number of its new connection: what was sent on an older one and lies
 * unread in a buffer cannot pass any more, so that an outcome that is looked up is final.
 */
export const ENTER_SESSION = `${FENCE}
local incarnation = ARGV[1]
local link = ARGV[2]
local known = redis.call('HGET', META, 'incarnation')
if known ~= incarnation then
  if known then
    local time = redis.call('TIME')
    local floor = tonumber(redis.call('HGET', META, 'floor') or '0')
    floor = math.max(floor, time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('HSET', META, 'floor', string.format('%.0f', floor))
    local entries = redis.call('HGETALL', EPOCHS)
    for at = 1, #entries, 2 do
      local epoch = math.max(tonumber(string.match(entries[at + 1], '^%d+')) + 1, floor)
      redis.call('HSET', EPOCHS, entries[at], string.format('%.0f', epoch) .. ' ')
    end
  end
  redis.call('HSET', META, 'incarnation', incarnation, 'format', '1')
end
for at = 3, #ARGV, 2 do
  local entry = redis.call('HGET', EPOCHS, ARGV[at])
  if entry then
    local epoch, claim = string.match(entry, '^(%d+) (%S+)')
    if claim == ARGV[at + 1] then
      redis.call('HSET', EPOCHS, ARGV[at], epoch .. ' ' .. claim .. ' ' .. link)
    end
  end
end
return redis.call('HGET', META, 'format')
`;
