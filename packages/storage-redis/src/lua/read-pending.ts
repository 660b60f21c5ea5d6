import { FENCE } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

/**
 * ARGV: now, limit, then three lists, each with its length before it: shards, sequences that the caller holds, and entities
 * (as `TYPE/ID`) whose mailbox is full.
 *
 * Returns whether there is more, the next due time or an empty text, and the rows.
 *
 * What has become due moves from `later` to `due`, so that it stands among the others in the order of sequences. Members'
 * clocks differ: what another one's clock made due, and this one's does not, moves back.
 */
export const READ_PENDING = `${FENCE}${REQUESTS}
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

local function move_due(shard)
  local later = base .. 'later:' .. shard
  while true do
    local ids = redis.call('ZRANGEBYSCORE', later, '-inf', ARGV[1], 'LIMIT', 0, 1000)
    for _, id in ipairs(ids) do
      redis.call('ZREM', later, id)
      redis.call('ZADD', base .. 'due:' .. shard, redis.call('HGET', request_key(id), 'sequence'), id)
    end
    if #ids < 1000 then return end
  end
end

local found = {}
-- Adds what matches in one shard: one more than the limit is enough to know that there is more.
local function search(shard)
  local due = base .. 'due:' .. shard
  local early = {}
  local count, first = 0, 0
  while count <= limit do
    local page = redis.call('ZRANGE', due, first, first + 255, 'WITHSCORES')
    for index = 1, #page, 2 do
      local id, sequence = page[index], page[index + 1]
      if count <= limit and not held[sequence] then
        local fields = redis.call('HMGET', request_key(id), 'due', 'type', 'id')
        if fields[1] ~= '' and tonumber(fields[1]) > now then
          early[#early + 1] = {id, fields[1]}
        elseif not full[fields[2] .. '/' .. fields[3]] then
          count = count + 1
          found[#found + 1] = {tonumber(sequence), id}
        end
      end
    end
    if #page < 512 then break end
    first = first + 256
  end
  for _, each in ipairs(early) do
    redis.call('ZREM', due, each[1])
    redis.call('ZADD', base .. 'later:' .. shard, each[2], each[1])
  end
end

local next_due
for _, shard in ipairs(shards) do
  move_due(shard)
  search(shard)
  local after = redis.call('ZRANGEBYSCORE', base .. 'later:' .. shard, '(' .. ARGV[1], '+inf', 'LIMIT', 0, 1)
  if after[1] then
    local time = redis.call('HGET', request_key(after[1]), 'due')
    if not next_due or tonumber(time) < tonumber(next_due) then next_due = time end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
local rows = {}
for index = 1, math.min(#found, limit) do rows[index] = row_of(found[index][2]) end
return {#found > limit and 1 or 0, next_due or '', rows}
`;
