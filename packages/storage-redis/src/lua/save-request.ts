import { WRITE } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the fence (1 to 3), the request's id, shard, type, entity id, tag, payload, rest, due time, attempts, the channel and
 * the message that announce it (an empty channel: nobody needs to hear), and its deduplication key, if it has one.
 *
 * Returns `accepted` and the sequence, or `duplicate` and the row of the first one.
 */
export const SAVE_REQUEST: string = `${WRITE}${REQUESTS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
local id, shard, entity_type, entity_id, tag = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key = ARGV[15]
local request = request_key(id)
if redis.call('EXISTS', request) == 1 then return {'duplicate', row_of(id)} end
if key then
  local first = redis.call('GET', deduplication_key(entity_type, entity_id, tag, key))
  if first then return {'duplicate', row_of(first)} end
end
local sequence = redis.call('HINCRBY', META, 'sequence', 1)
redis.call('HSET', request, 'requestId', id, 'shard', shard, 'type', entity_type, 'id', entity_id, 'tag', tag,
  'payload', ARGV[9], 'rest', ARGV[10], 'due', ARGV[11], 'attempts', ARGV[12], 'sequence', sequence, 'state', 'pending')
if key then
  redis.call('HSET', request, 'key', key)
  redis.call('SET', deduplication_key(entity_type, entity_id, tag, key), id)
  redis.call('ZADD', executions_key(entity_type, tag), 0, id)
end
redis.call('ZADD', entity_key(entity_type, entity_id), sequence, id)
enter_pending(id, shard, entity_type .. '/' .. entity_id, sequence, ARGV[11])
if ARGV[13] ~= '' then redis.pcall('PUBLISH', ARGV[13], ARGV[14]) end
return {'accepted', sequence}
`;
