import { BASE } from "./fence.ts";
import { REQUESTS } from "./requests.ts";
import { REQUEST_FIELDS } from "../request-fields.ts";

/** In Lua the first field is 1. */
const PAYLOAD_AT = REQUEST_FIELDS.indexOf("payload") + 1;

/** How many requests one call moves that have become due: reading must not hold up everything else. */
const MOVED_AT_ONCE = 250;
/** A page ends with the request that exceeds it, in bytes of payloads. Large ones would hold up all else, and might never arrive in time. */
const PAGE_BYTES = 8 * 1024 * 1024;

/**
 * ARGV: now, limit, then three lists, each with its length before it: shards, sequences that the caller holds, and entities
 * (as `TYPE/ID`) whose mailbox is full.
 *
 * Returns whether there is more, the next due time or an empty text, and the rows; or nothing where more has become due than
 * is moved at once: then it is called again.
 *
 * What has become due moves from `later` to its entity's queue, so that it stands among the others in the order of sequences.
 * Members' clocks differ: what another one's clock made due, and this one's does not, moves back.
 */
export const READ_PENDING: string = `${BASE}${REQUESTS}
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = 3
local function list()
  local length = tonumber(ARGV[at])
  local values = {}
  for index = 1, length do values[index] = ARGV[at + index] end
  at = at + length + 1
  return values
end
local function set_of(values)
  local set = {}
  for _, value in ipairs(values) do set[value] = true end
  return set
end
local shards = list()
local held = set_of(list())
local full = set_of(list())

local moves_left = ${MOVED_AT_ONCE}
-- Returns whether all that is due was moved.
local function move_due(shard)
  local later = base .. 'later:' .. shard
  local ids = redis.call('ZRANGEBYSCORE', later, '-inf', ARGV[1], 'LIMIT', 0, moves_left + 1)
  for _, id in ipairs(ids) do
    if moves_left == 0 then return false end
    moves_left = moves_left - 1
    local fields = redis.call('HMGET', request_key(id), 'type', 'id', 'sequence')
    redis.call('ZREM', later, id)
    enter_pending(id, shard, fields[1] .. '/' .. fields[2], fields[3], '')
  end
  return true
end
for _, shard in ipairs(shards) do
  if not move_due(shard) then return {} end
end

-- What was found, each as its sequence and its id. One more than the limit is enough to know that there is more: what comes
-- after the last of them is neither looked at nor read. It is sorted once there is twice as much, not again for each entity.
local found, up_to = {}, '+inf'
local early = {}
local function keep_first()
  if #found <= 2 * limit + 2 then return end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  for index = #found, limit + 2, -1 do found[index] = nil end
  up_to = string.format('%.0f', found[limit + 1][1])
end

-- No two have the same sequence, so that a page begins behind the last one of the page before it.
local function page_of(key, after) return redis.call('ZRANGEBYSCORE', key, after, up_to, 'WITHSCORES', 'LIMIT', 0, 100) end

local function search_queue(shard, entity)
  local queue = queue_key(shard, entity)
  local count, after = 0, '-inf'
  while true do
    local page = page_of(queue, after)
    for index = 1, #page, 2 do
      local id, sequence = page[index], page[index + 1]
      if count > limit then return end
      if not held[sequence] then
        local due = redis.call('HGET', request_key(id), 'due')
        if due ~= '' and tonumber(due) > now then
          early[#early + 1] = {id, shard, entity, due}
        else
          count = count + 1
          found[#found + 1] = {tonumber(sequence), id}
        end
      end
    end
    if #page < 200 then return end
    after = '(' .. page[200]
  end
end

local function search(shard)
  local after = '-inf'
  while true do
    local heads = page_of(base .. 'heads:' .. shard, after)
    for index = 1, #heads, 2 do
      -- It may have come nearer since they were read.
      if tonumber(heads[index + 1]) > tonumber(up_to) then return end
      if not full[heads[index]] then
        search_queue(shard, heads[index])
        keep_first()
      end
    end
    if #heads < 200 then return end
    after = '(' .. heads[200]
  end
end
for _, shard in ipairs(shards) do search(shard) end
for _, each in ipairs(early) do
  leave_pending(each[1], each[2], each[3])
  enter_pending(each[1], each[2], each[3], '', each[4])
end

local next_due
for _, shard in ipairs(shards) do
  local after = redis.call('ZRANGEBYSCORE', base .. 'later:' .. shard, '(' .. ARGV[1], '+inf', 'LIMIT', 0, 1)
  if after[1] then
    local due = redis.call('HGET', request_key(after[1]), 'due')
    if not next_due or tonumber(due) < tonumber(next_due) then next_due = due end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
local rows, bytes = {}, 0
for index = 1, math.min(#found, limit) do
  if bytes >= ${PAGE_BYTES} then break end
  rows[index] = row_of(found[index][2])
  bytes = bytes + #(rows[index][${PAYLOAD_AT}] or '')
end
return {#found > #rows and 1 or 0, next_due or '', rows}
`;
