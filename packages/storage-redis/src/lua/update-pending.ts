import { writeWhenFullIf } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

/**
 * Sets the attempts of a pending request, and where it is given its due time. ARGV: the fence (1 to 3), the id, the attempts,
 * and the due time.
 *
 * A server that has no memory left takes this, too, but for an attempt after the first: as a rule the one before it failed for
 * want of room, as an execution's does that cannot record a step, and so would every other until the request is a dead letter.
 */
export const UPDATE_PENDING: string = `${writeWhenFullIf("ARGV[6] or tonumber(ARGV[5]) < 2")}${REQUESTS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
local id, due = ARGV[4], ARGV[6]
local request = request_key(id)
local fields = redis.call('HMGET', request, 'state', 'shard', 'type', 'id', 'sequence')
if fields[1] ~= 'pending' then return {'done'} end
redis.call('HSET', request, 'attempts', ARGV[5])
if due then
  local entity = fields[3] .. '/' .. fields[4]
  leave_pending(id, fields[2], entity)
  redis.call('HSET', request, 'due', due)
  enter_pending(id, fields[2], entity, fields[5], due)
end
return {'done'}
`;
