import { BASE, LINK, MAKE_WAY } from "./fence.ts";

/** The version of how data are kept here. A release whose data this one would misread leaves a higher one there. */
const DATA_VERSION = 1;

/**
 * What a session does first on each new connection. ARGV: the incarnation of the server, the session and the number of this
 * connection of it, the incarnation and the position up to which the session knows the server's history, then for each shard
 * that the session holds its id and its claim. Returns the position.
 *
 * A server that is another one than before, or began anew, may have forgotten writes that it had answered. What it remembers
 * is always a beginning of what was: all up to some write, and nothing after. Each write counts `position` up, and the first
 * session to enter an incarnation leaves there at which position it began. A session that knows of nothing after that has
 * lost nothing, and goes on. One that does, or that knows an older incarnation only, has its claims made void: what its
 * runner holds in memory may come from what is gone, so that it has to claim and read its shards again.
 *
 * Epochs go on from the server's time in milliseconds then: those that were given out and forgotten are below it, one claim a
 * millisecond being more than any shard sees.
 *
 * A server that was a replica when it said what it is, and is none any more, is asked again: it would be entered under the name
 * of a history that goes on elsewhere.
 *
 * Data that a later release keeps in another way are not touched: `works_from` is the lowest version that can use them.
 *
 * The number of the new connection is kept, and claims that stay get it: what was sent on an older one and lies unread in a
 * buffer cannot pass any more, so that an outcome that is looked up is final. A server that takes no writes now is entered all
 * the same, to be read, and the first write that it takes keeps the number; a replica is not.
 */
export const ENTER_SESSION: string = `${BASE}${LINK}
local incarnation, session, link = ARGV[1], ARGV[2], ARGV[3]
local known, seen = ARGV[4], tonumber(ARGV[5])
local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if data ~= string.match(incarnation, '%w+$') then
  return redis.error_reply('STALE the server took over from another one just now')
end
local works_from = tonumber(redis.call('HGET', META, 'works_from') or '0')
if works_from > ${DATA_VERSION} then
  return redis.error_reply('RELEASE a later release has changed the data there (they need version ' .. works_from ..
    ', this is ${DATA_VERSION})')
end
${MAKE_WAY}local kept = keep_link(session, link)
if kept.err and string.find(kept.err, '^-?READONLY') then return kept end
local meta = redis.call('HMGET', META, 'incarnation', 'before', 'restored', 'position', 'floor')
local before, restored, floor = meta[2], tonumber(meta[3] or '0'), tonumber(meta[5] or '0')
local position = meta[4] or '0'
if meta[1] ~= incarnation then
  before, restored = meta[1] or '', tonumber(position)
  if meta[1] then
    local time = redis.call('TIME')
    floor = math.max(floor, time[1] * 1000 + math.floor(time[2] / 1000))
  end
  redis.call('HSET', META, 'incarnation', incarnation, 'before', before, 'restored', position,
    'floor', string.format('%.0f', floor))
end
local has_lost = known ~= incarnation and (known ~= before or seen > restored)
for at = 6, #ARGV, 2 do
  local entry = redis.call('HGET', EPOCHS, ARGV[at])
  local epoch, claim = string.match(entry or '', '^(%d+) (%S+)')
  if epoch and claim == ARGV[at + 1] then
    local text = epoch .. ' ' .. claim .. ' ' .. link
    if has_lost then text = string.format('%.0f', math.max(tonumber(epoch) + 1, floor)) .. ' ' end
    redis.call('HSET', EPOCHS, ARGV[at], text)
  end
end
return position
`;
