import { WRITE } from "./fence.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the type, the time before which they were answered, the limit, and the tag of executions, if the type is a workflow's.
 * Returns how many were forgotten.
 */
export const FORGET_ANSWERED: string = `${WRITE}${REQUESTS}${JOURNALS}
local answered = base .. 'answered:' .. ARGV[1]
local limit, tag = tonumber(ARGV[3]), ARGV[4]
-- Found first and forgotten then: an execution takes other members of the set with it.
local found = {}
local first = 0
while #found < limit do
  local ids = redis.call('ZRANGEBYSCORE', answered, '-inf', '(' .. ARGV[2], 'LIMIT', first, 256)
  for _, id in ipairs(ids) do
    if #found < limit and (not tag or redis.call('HGET', request_key(id), 'tag') == tag) then found[#found + 1] = id end
  end
  if #ids < 256 then break end
  first = first + 256
end
for _, id in ipairs(found) do
  if tag then
    local entity_id = redis.call('HGET', request_key(id), 'id')
    if entity_id then
      for _, each in ipairs(redis.call('ZRANGE', entity_key(ARGV[1], entity_id), 0, -1)) do forget_request(each) end
      forget_journal(ARGV[1], entity_id)
    end
  else
    forget_request(id)
  end
end
return #found
`;
