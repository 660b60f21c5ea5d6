import { BASE, WRITE, WRITE_WHEN_FULL } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

// The chunks of a request are a hash by index, `chunks:ID`, in which two fields count: `saved`, how many there ever were,
// and `acknowledged`, how many of them are gone.

/** ARGV: the fence (1 to 3), the id, the index and the value. Returns `done`, or `unknown`. */
export const SAVE_CHUNK: string = `${WRITE}${REQUESTS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
if redis.call('EXISTS', request_key(ARGV[4])) == 0 then return {'unknown'} end
local chunks = base .. 'chunks:' .. ARGV[4]
local counts = redis.call('HMGET', chunks, 'saved', 'acknowledged')
local index = tonumber(ARGV[5])
if index < tonumber(counts[2] or '0') then return {'done'} end
if redis.call('HSETNX', chunks, ARGV[5], ARGV[6]) == 1 and index >= tonumber(counts[1] or '0') then
  redis.call('HSET', chunks, 'saved', index + 1)
end
return {'done'}
`;

/** ARGV: the id, and the first index. Returns how many were saved, then index and value of each. */
export const READ_CHUNKS: string = `${BASE}
local chunks = base .. 'chunks:' .. ARGV[1]
local counts = redis.call('HMGET', chunks, 'saved', 'acknowledged')
local saved = tonumber(counts[1] or '0')
local answer = {saved}
for index = math.max(tonumber(ARGV[2]), tonumber(counts[2] or '0')), saved - 1 do
  local value = redis.call('HGET', chunks, index)
  if value then
    answer[#answer + 1] = index
    answer[#answer + 1] = value
  end
end
return answer
`;

/** ARGV: the id, and the first index that is kept. */
export const ACKNOWLEDGE_CHUNKS: string = `${WRITE_WHEN_FULL}
local chunks = base .. 'chunks:' .. ARGV[1]
local counts = redis.call('HMGET', chunks, 'saved', 'acknowledged')
if not counts[1] then return {'done'} end
local before = tonumber(counts[2] or '0')
local after = math.min(tonumber(ARGV[2]), tonumber(counts[1]))
if after <= before then return {'done'} end
for index = before, after - 1 do redis.call('HDEL', chunks, index) end
redis.call('HSET', chunks, 'acknowledged', after)
return {'done'}
`;
