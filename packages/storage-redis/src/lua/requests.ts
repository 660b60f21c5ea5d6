import { REQUEST_FIELDS } from "../request-fields.ts";

const FIELDS = REQUEST_FIELDS.map((name) => `'${name}'`).join(", ");

/**
 * The part of scripts that knows where a request is found.
 *
 * A request is a hash, `request:ID`. Its id stands in the sorted sets
 *
 *   queue:SHARD/TYPE/ID, by sequence                       while it is pending and due
 *   later:SHARD, by due time                               while it is pending and not due (read-pending.ts moves it)
 *   dead, by the time of its death                         while it is a dead letter
 *   answered:TYPE, by the time of its answer               once it is answered
 *   answered:TYPE/TAG, by the same                         once it is answered: executions among other requests
 *   entity:TYPE/ID, by sequence                            always
 *   executions:TYPE/TAG, in the order of ids               always, if it has a deduplication key
 *
 * heads:SHARD has the entities with a queue, by the sequence of its first: what is due in a shard is read in order without a
 * look at the rest of a long queue. key:... holds the id of the request with that deduplication key.
 */
export const REQUESTS: string = `
local function request_key(id) return base .. 'request:' .. id end
local function entity_key(entity_type, entity_id) return base .. 'entity:' .. entity_type .. '/' .. entity_id end
local function executions_key(entity_type, tag) return base .. 'executions:' .. entity_type .. '/' .. tag end

local function answered_key(entity_type, tag) return base .. 'answered:' .. entity_type .. (tag and '/' .. tag or '') end

-- Types and tags are checked names without '/', and the length says where the id ends: no two keys share one.
local function deduplication_key(entity_type, entity_id, tag, key)
  return base .. 'key:' .. entity_type .. '/' .. tag .. '/' .. #entity_id .. '/' .. entity_id .. '/' .. key
end

-- All fields of a request, in the order of REQUEST_FIELDS.
local function row_of(id) return redis.call('HMGET', request_key(id), ${FIELDS}) end

-- The length says where the shard ends.
local function queue_key(shard, entity) return base .. 'queue:' .. #shard .. '/' .. shard .. '/' .. entity end

local function enter_pending(id, shard, entity, sequence, due)
  if due == '' then
    redis.call('ZADD', queue_key(shard, entity), sequence, id)
    redis.call('ZADD', base .. 'heads:' .. shard, 'LT', sequence, entity)
  else
    redis.call('ZADD', base .. 'later:' .. shard, due, id)
  end
end

local function leave_pending(id, shard, entity)
  if redis.call('ZREM', base .. 'later:' .. shard, id) == 1 then return end
  local queue, heads = queue_key(shard, entity), base .. 'heads:' .. shard
  redis.call('ZREM', queue, id)
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', heads, first[2], entity)
  else
    redis.call('ZREM', heads, entity)
  end
end

local function enter_answered(id, entity_type, tag, at)
  redis.call('ZADD', answered_key(entity_type), at, id)
  redis.call('ZADD', answered_key(entity_type, tag), at, id)
end

-- Takes a request out of where its state has put it.
local function leave_state(id, state, shard, entity_type, entity_id, tag)
  if state == 'pending' then
    leave_pending(id, shard, entity_type .. '/' .. entity_id)
  elseif state == 'answered' then
    redis.call('ZREM', answered_key(entity_type), id)
    redis.call('ZREM', answered_key(entity_type, tag), id)
  else
    redis.call('ZREM', base .. 'dead', id)
  end
end

-- Takes back what became of a request: pending and due, with no attempts on its count.
local function handle_again(id)
  local request = request_key(id)
  local fields = redis.call('HMGET', request, 'state', 'shard', 'type', 'id', 'sequence', 'tag')
  leave_state(id, fields[1], fields[2], fields[3], fields[4], fields[6])
  redis.call('HDEL', request, 'ok', 'data', 'code', 'answered', 'error', 'dead')
  redis.call('HSET', request, 'state', 'pending', 'attempts', '0', 'due', '')
  enter_pending(id, fields[2], fields[3] .. '/' .. fields[4], fields[5], '')
end

-- Forgets a request, whatever became of it.
local function forget_request(id)
  local request = request_key(id)
  local fields = redis.call('HMGET', request, 'state', 'shard', 'type', 'id', 'tag', 'key')
  if not fields[1] then return end
  leave_state(id, fields[1], fields[2], fields[3], fields[4], fields[5])
  redis.call('ZREM', entity_key(fields[3], fields[4]), id)
  if fields[6] then
    redis.call('ZREM', executions_key(fields[3], fields[5]), id)
    redis.call('DEL', deduplication_key(fields[3], fields[4], fields[5], fields[6]))
  end
  redis.call('DEL', request, base .. 'chunks:' .. id)
end
`;
