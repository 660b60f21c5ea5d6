import { BASE } from "./fence.ts";
import { JOURNALS } from "./journals.ts";
import { REQUESTS } from "./requests.ts";

/** How many executions one call looks at: listings must not hold up everything else. */
const LOOKED_AT = 500;

/**
 * One page of a listing, from the newest on. ARGV: the type, the tag, an execution's id after "=" or an empty text, a status or an empty
 * text, the lower bound of request ids (as ZREVRANGEBYLEX reads it), the upper one, now, the limit, the code of cancelled
 * executions, then names and values of attributes.
 *
 * Returns where to go on (empty: that was all), and for each execution its status, its attributes and its row.
 */
export const LIST_EXECUTIONS: string = `${BASE}${REQUESTS}${JOURNALS}
local entity_type, tag, only, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lower, upper, now, limit, cancelled = ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]

local function status_of(id)
  local fields = redis.call('HMGET', request_key(id), 'state', 'due', 'attempts', 'ok', 'code')
  if fields[1] == 'pending' then
    if fields[2] ~= '' and tonumber(fields[2]) > now then return 'suspended' end
    return tonumber(fields[3]) > 0 and 'running' or 'pending'
  end
  if fields[1] == 'dead' then return 'failed' end
  if fields[4] == '1' then return 'completed' end
  return fields[5] == cancelled and 'cancelled' or 'failed'
end

local function has_attributes(id)
  if not ARGV[10] then return true end
  local attributes = attributes_key(entity_type, redis.call('HGET', request_key(id), 'id'))
  for at = 10, #ARGV, 2 do
    if redis.call('HGET', attributes, ARGV[at]) ~= ARGV[at + 1] then return false end
  end
  return true
end

-- Byte by byte, as Redis orders members: the operator of Lua goes by the locale.
local function is_below(a, b)
  for at = 1, math.min(#a, #b) do
    local left, right = string.byte(a, at), string.byte(b, at)
    if left ~= right then return left < right end
  end
  return #a < #b
end

local function is_within(id)
  local low, high = string.sub(lower, 2), string.sub(upper, 2)
  return (lower == '-' or not is_below(id, low)) and (upper == '+' or is_below(id, high))
end

-- Of these entities, the requests that are executions: newest first.
local function executions_of(entity_ids)
  local ids = {}
  for _, each in ipairs(entity_ids) do
    for _, id in ipairs(redis.call('ZRANGE', entity_key(entity_type, each), 0, -1)) do
      local fields = redis.call('HMGET', request_key(id), 'tag', 'key')
      if fields[1] == tag and fields[2] and is_within(id) then ids[#ids + 1] = id end
    end
  end
  table.sort(ids, function(a, b) return is_below(b, a) end)
  return ids
end

-- The sets of those that have the attributes, if one of them is so small that all in it can be looked at; else nil.
local function few_with_attributes()
  local sets, smallest = {}, math.huge
  for at = 10, #ARGV, 2 do
    local set = attribute_key(entity_type, ARGV[at], ARGV[at + 1])
    smallest = math.min(smallest, redis.call('SCARD', set))
    sets[#sets + 1] = set
  end
  return smallest <= ${LOOKED_AT} and sets or nil
end

local candidates, go_on
local few = only == '' and few_with_attributes()
if only ~= '' then
  candidates = executions_of({string.sub(only, 2)})
elseif few then
  candidates = executions_of(redis.call('SINTER', unpack(few)))
else
  candidates = redis.call('ZREVRANGEBYLEX', executions_key(entity_type, tag), upper, lower, 'LIMIT', 0, ${LOOKED_AT})
  if #candidates == ${LOOKED_AT} then go_on = candidates[#candidates] end
end

local found = {}
for _, id in ipairs(candidates) do
  if #found == limit then break end
  local is = status_of(id)
  if (status == '' or status == is) and has_attributes(id) then
    local attributes = redis.call('HGETALL', attributes_key(entity_type, redis.call('HGET', request_key(id), 'id')))
    found[#found + 1] = {is, attributes, row_of(id)}
  end
end
return {go_on or '', found}
`;
