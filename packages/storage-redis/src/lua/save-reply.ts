import { WRITE_WHEN_FULL } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: the fence (1 to 3), the id, `1` or `0` for a value or an error, its text, the error's code, and the time.
 *
 * Returns `done`, or `recorded` with the reply that is there, or `unknown`.
 */
export const SAVE_REPLY: string = `${WRITE_WHEN_FULL}${REQUESTS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
local id = ARGV[4]
local request = request_key(id)
local fields = redis.call('HMGET', request, 'state', 'shard', 'type', 'id', 'ok', 'data', 'tag')
if not fields[1] then return {'unknown'} end
if fields[1] == 'answered' then return {'recorded', fields[5], fields[6]} end
leave_state(id, fields[1], fields[2], fields[3], fields[4], fields[7])
redis.call('HDEL', request, 'error', 'dead')
redis.call('HSET', request, 'state', 'answered', 'ok', ARGV[5], 'data', ARGV[6], 'code', ARGV[7], 'answered', ARGV[8])
enter_answered(id, fields[3], fields[7], ARGV[8])
return {'done'}
`;
