import { WRITE } from "./fence.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the type, the id, the request's id, this session's name, the channel that announces it, how many entries to forget,
 * their ordinals, and the entry as `append_entries` reads it. Returns nothing, or the shard.
 */
export const REOPEN_EXECUTION: string = `${WRITE}${REQUESTS}${JOURNALS}
local entity_type, entity_id, id = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', request_key(id), 'state', 'ok', 'type', 'id', 'shard')
if fields[1] ~= 'answered' or fields[2] ~= '0' then return {} end
if fields[3] ~= entity_type or fields[4] ~= entity_id then return {} end
local forgotten = tonumber(ARGV[6])
local entry = 7 + forgotten
local journal = journal_key(entity_type, entity_id)
for _, ordinal in ipairs(redis.call('HKEYS', journal)) do
  if tonumber(ordinal) >= tonumber(ARGV[entry]) then return {} end
end
for at = 7, 6 + forgotten do redis.call('HDEL', journal, ARGV[at]) end
append_entries(entity_type, entity_id, entry)
handle_again(id)
redis.pcall('PUBLISH', ARGV[5], ARGV[4] .. ' ' .. fields[5])
return {fields[5]}
`;
