import { BASE, WRITE, WRITE_WHEN_FULL } from "./fence.ts";
import { FORGET_EXECUTION } from "./forget-execution.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/** ARGV: the fence (1 to 3), the id, the error as JSON, the attempts, and the time. */
export const SAVE_DEAD_LETTER: string = `${WRITE_WHEN_FULL}${REQUESTS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
local id = ARGV[4]
local request = request_key(id)
local fields = redis.call('HMGET', request, 'state', 'shard', 'type', 'id')
if fields[1] ~= 'pending' then return {'done'} end
leave_pending(id, fields[2], fields[3] .. '/' .. fields[4])
redis.call('HSET', request, 'state', 'dead', 'error', ARGV[5], 'attempts', ARGV[6], 'dead', ARGV[7])
redis.call('ZADD', base .. 'dead', ARGV[7], id)
return {'done'}
`;

/** ARGV: the limit, and the last id seen, if there is one. Returns rows, oldest first. */
export const LIST_DEAD_LETTERS: string = `${BASE}${REQUESTS}
local first = 0
if ARGV[2] then
  local rank = redis.call('ZRANK', base .. 'dead', ARGV[2])
  if rank then first = rank + 1 end
end
local rows = {}
if tonumber(ARGV[1]) < 1 then return rows end
for _, id in ipairs(redis.call('ZRANGE', base .. 'dead', first, first + ARGV[1] - 1)) do rows[#rows + 1] = row_of(id) end
return rows
`;

/** ARGV: the id, this session's name, the channel that announces it. Returns nothing, or type, entity id and shard. */
export const REQUEUE_DEAD_LETTER: string = `${WRITE}${REQUESTS}
local fields = redis.call('HMGET', request_key(ARGV[1]), 'state', 'type', 'id', 'shard', 'tag')
if fields[1] ~= 'dead' then return {} end
handle_again(ARGV[1])
if fields[5] == ARGV[4] then redis.call('HSET', request_key(ARGV[1]), 'attempts', '1') end
redis.pcall('PUBLISH', ARGV[3], ARGV[2] .. ' ' .. fields[4])
return {fields[2], fields[3], fields[4]}
`;

/** ARGV: the id, and the tag of executions, if the type is a workflow's. Returns 1 if it was a dead letter, else 0. */
export const DROP_DEAD_LETTER: string = `${WRITE_WHEN_FULL}${REQUESTS}${JOURNALS}${FORGET_EXECUTION}
local fields = redis.call('HMGET', request_key(ARGV[1]), 'state', 'type', 'id', 'tag', 'key')
if fields[1] ~= 'dead' then return 0 end
if fields[4] == ARGV[2] and fields[5] == ARGV[2] then
  forget_execution(fields[2], fields[3])
else
  forget_request(ARGV[1])
end
return 1
`;
