import { BASE } from "./fence.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the type, the id, the tag of the execution, and the tags of its inbox. Returns the journal, as ordinals and entries,
 * and the inbox, as ids, tags and payloads.
 */
export const READ_EXECUTION: string = `${BASE}${REQUESTS}${JOURNALS}
local inbox_tags = {}
for at = 4, #ARGV do inbox_tags[ARGV[at]] = true end
local inbox = {}
local has_begun = false
for _, id in ipairs(redis.call('ZRANGE', entity_key(ARGV[1], ARGV[2]), 0, -1)) do
  local fields = redis.call('HMGET', request_key(id), 'key', 'tag')
  if not fields[1] then
    -- What has no key is neither an execution nor of its inbox.
  elseif not has_begun then
    has_begun = fields[2] == ARGV[3]
  elseif inbox_tags[fields[2]] then
    inbox[#inbox + 1] = id
    inbox[#inbox + 1] = fields[2]
    inbox[#inbox + 1] = redis.call('HGET', request_key(id), 'payload')
  end
end
return {redis.call('HGETALL', journal_key(ARGV[1], ARGV[2])), inbox}
`;
