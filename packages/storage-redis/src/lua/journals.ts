/**
 * The part of scripts that knows journals and attributes.
 *
 * A journal is a hash of entries by ordinal, `journal:TYPE/ID`; attributes are a hash of JSON values by name,
 * `attributes:TYPE/ID`; and attribute:TYPE/... is the set of the ids of executions that have one value of one attribute.
 */
export const JOURNALS: string = `
local function journal_key(entity_type, entity_id) return base .. 'journal:' .. entity_type .. '/' .. entity_id end
local function attributes_key(entity_type, entity_id)
  return base .. 'attributes:' .. entity_type .. '/' .. entity_id
end
local function attribute_key(entity_type, name, value)
  return base .. 'attribute:' .. entity_type .. '/' .. #name .. '/' .. name .. '/' .. value
end

-- An empty value takes the attribute away.
local function set_attribute(entity_type, entity_id, name, value)
  local attributes = attributes_key(entity_type, entity_id)
  local before = redis.call('HGET', attributes, name)
  if before then redis.call('SREM', attribute_key(entity_type, name, before), entity_id) end
  if value == '' then
    redis.call('HDEL', attributes, name)
  else
    redis.call('HSET', attributes, name, value)
    redis.call('SADD', attribute_key(entity_type, name, value), entity_id)
  end
end

-- Appends the entries of ARGV from 'at' on: each is its ordinal, its text, how many attributes it changes, and for each
-- of them the name and the value. What is there stays as it was.
local function append_entries(entity_type, entity_id, at)
  local journal = journal_key(entity_type, entity_id)
  while ARGV[at] do
    local is_new = redis.call('HSETNX', journal, ARGV[at], ARGV[at + 1]) == 1
    local changes = tonumber(ARGV[at + 2])
    at = at + 3
    for _ = 1, changes do
      if is_new then set_attribute(entity_type, entity_id, ARGV[at], ARGV[at + 1]) end
      at = at + 2
    end
  end
end

local function forget_journal(entity_type, entity_id)
  local attributes = attributes_key(entity_type, entity_id)
  local pairs_of = redis.call('HGETALL', attributes)
  for at = 1, #pairs_of, 2 do
    redis.call('SREM', attribute_key(entity_type, pairs_of[at], pairs_of[at + 1]), entity_id)
  end
  redis.call('DEL', attributes, journal_key(entity_type, entity_id))
end
`;
