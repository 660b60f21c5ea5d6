import { WRITE_WHEN_FULL } from "./fence.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the fence (1 to 3), the type, the id, the ordinal below which entries go, the time before which requests were
 * answered that may go, and the ids of those that have a key.
 */
export const TRIM_EXECUTION: string = `${WRITE_WHEN_FULL}${REQUESTS}${JOURNALS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
local journal = journal_key(ARGV[4], ARGV[5])
for _, ordinal in ipairs(redis.call('HKEYS', journal)) do
  if tonumber(ordinal) < tonumber(ARGV[6]) then redis.call('HDEL', journal, ordinal) end
end
local listed = {}
for at = 8, #ARGV do listed[ARGV[at]] = true end
for _, id in ipairs(redis.call('ZRANGE', entity_key(ARGV[4], ARGV[5]), 0, -1)) do
  local fields = redis.call('HMGET', request_key(id), 'key', 'state', 'answered')
  if (not fields[1] or listed[id]) and fields[2] == 'answered' and tonumber(fields[3]) < tonumber(ARGV[7]) then
    forget_request(id)
  end
end
return {'done'}
`;
