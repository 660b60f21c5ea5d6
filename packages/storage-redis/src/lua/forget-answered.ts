import { WRITE_WHEN_FULL } from "./fence.ts";
import { FORGET_EXECUTION } from "./forget-execution.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/** After how many requests one call stops: retention must not hold up everything else. An execution goes whole all the same. */
const FORGOTTEN_AT_ONCE = 1_000;

/**
 * ARGV: the type, the time before which they were answered, the limit, and the tag of executions, if the type is a workflow's.
 * Returns how many were forgotten, and whether it stopped before the limit although there may be more.
 */
export const FORGET_ANSWERED: string = `${WRITE_WHEN_FULL}${REQUESTS}${JOURNALS}${FORGET_EXECUTION}
local entity_type, limit, tag = ARGV[1], tonumber(ARGV[3]), ARGV[4]
local answered = tag and answered_key(entity_type, tag) or answered_key(entity_type)
local found = redis.call('ZRANGEBYSCORE', answered, '-inf', '(' .. ARGV[2], 'LIMIT', 0, math.min(limit, ${FORGOTTEN_AT_ONCE}))
local forgotten, requests = 0, 0
for _, id in ipairs(found) do
  if requests >= ${FORGOTTEN_AT_ONCE} then return {forgotten, 1} end
  local fields = redis.call('HMGET', request_key(id), 'id', 'key')
  if tag and fields[1] and fields[2] == tag then
    requests = requests + forget_execution(entity_type, fields[1])
  elseif fields[1] or not tag then
    -- Another request of the tag is no execution, and must not take the execution along.
    forget_request(id)
    requests = requests + 1
  end
  forgotten = forgotten + 1
end
return {forgotten, #found == ${FORGOTTEN_AT_ONCE} and limit > forgotten and 1 or 0}
`;
