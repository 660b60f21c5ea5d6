/** The part of scripts that forgets executions, and follows those that know requests and journals. */
export const FORGET_EXECUTION: string = `
-- Forgets all that is known of an execution. Returns how many requests that were.
local function forget_execution(entity_type, entity_id)
  local requests = redis.call('ZRANGE', entity_key(entity_type, entity_id), 0, -1)
  for _, id in ipairs(requests) do forget_request(id) end
  forget_journal(entity_type, entity_id)
  return #requests
end
`;
