// Scripts: what is done to members and leases, each as one step of Redis.
//
//   leases   sorted set   runner id -> when its lease is over, in ms of the server's clock
//   terms    hash         runner id -> the term of its lease, in ms
//   records  hash         runner id -> the member's record, as JSON
//   shards   hash         shard id  -> the id of the runner that holds it
//   changes  hash         runner id -> the numbers of the changes that it made, as the runner counts them, rising: from the
//                         last one on that is known to be confirmed, or from 0
//   gone     sorted set   runner id whose lease is over -> when its number is forgotten, in ms of the server's clock
//   version  string       another one after each change that others are to hear of
//
//   C1  A lease that is over is removed, with its record and shards, before anything else is looked at.
//   C2  All keys have one hash tag, and no script touches another key: so they work in a Redis Cluster.
//   C3  A lease whose own changes Redis forgot is over. Its runner may believe that it holds what Redis gave to another,
//       or Redis may believe that the runner holds what it released, for ever.
//   C4  A change is made only if its number is higher than that of the last one. So a try that was given up, and arrives
//       after others, does nothing: neither while the lease lives, nor for an hour after it is over.
//   C5  A server without memory takes them, too. Redis asks for room until a script has changed something, and to delete needs
//       none: so each begins with that, of what is not there. They take a few bytes, and without leases nothing goes on.
//   C6  A server that drops keys as it likes may drop some of these. A member of which one is missing is none: its lease is over
//       at its next refresh, and who has no lease is not listed. Half a member would be given shards for ever, and serve none.

/** The keys of one Holdfast cluster, in the order in which scripts take them. */
export function keysOf(prefix: string): readonly string[] {
  return ["leases", "terms", "records", "shards", "changes", "gone", "version"].map(
    (name) => `${tagOf(prefix)}:${name}`,
  );
}

/** The error of a change that is not newer than the last one (C4), before the number of that one. */
export const STALE = "STALE";

/** The channel on which a new version is published. */
export function channelOf(prefix: string): string {
  return `${tagOf(prefix)}:changed`;
}

function tagOf(prefix: string): string {
  return `{${prefix}:runners}`;
}

/** For how long what was sent for a lease that is over may still arrive. */
const GONE_MS = 3_600_000;

// The first argument is the channel. Those of a member have its id, the number of its last change that Redis confirmed, and
// the number of this one.
const BEGIN = `
local leases, terms, records, shards, changes, gone, version = unpack(KEYS)
local channel, id, confirmed, change = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
redis.pcall('HDEL', changes, '')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local isChanged = false

local function remove(ids)
  for each in pairs(ids) do
    redis.call('ZREM', leases, each)
    redis.call('HDEL', terms, each)
    redis.call('HDEL', records, each)
    redis.call('ZADD', gone, now + ${GONE_MS}, each)
  end
  local held = redis.call('HGETALL', shards)
  for i = 1, #held, 2 do
    if ids[held[i + 1]] then redis.call('HDEL', shards, held[i]) end
  end
  isChanged = true
end

local function made()
  local numbers = {}
  for each in string.gmatch(redis.call('HGET', changes, id) or '0', '%d+') do
    numbers[#numbers + 1] = tonumber(each)
  end
  return numbers
end

local function lastChange()
  local numbers = made()
  return numbers[#numbers]
end

-- Whether the change that was confirmed is missing, also where a later one is there: that may have been sent before the
-- confirmation came, and to another server first. And whether the lease is over for which it was confirmed.
local function isForgotten()
  if confirmed == 0 then return false end
  if redis.call('ZSCORE', gone, id) then return true end
  local numbers = made()
  for _, each in ipairs(numbers) do
    if each == confirmed then return false end
  end
  return confirmed > numbers[1]
end

local function isLeased()
  return redis.call('ZSCORE', leases, id)
end

local function isLive()
  return isLeased() and not isForgotten()
end

local function noteChange()
  if change <= lastChange() then return end
  local numbers = {}
  for _, each in ipairs(made()) do
    if each >= confirmed then numbers[#numbers + 1] = each end
  end
  numbers[#numbers + 1] = change
  redis.call('HSET', changes, id, table.concat(numbers, ' '))
end

local function finish(answer)
  if isChanged then
    local token = time[1] .. '.' .. time[2]
    redis.call('SET', version, token)
    -- A user who may not publish still has the looks that watches take.
    redis.pcall('PUBLISH', channel, token)
  end
  return answer
end

local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now)
if #over > 0 then
  local ids = {}
  for _, each in ipairs(over) do ids[each] = true end
  remove(ids)
end
for _, each in ipairs(redis.call('ZRANGEBYSCORE', gone, '-inf', now)) do
  redis.call('HDEL', changes, each)
  redis.call('ZREM', gone, each)
end
`;

const BEGIN_CHANGE = `${BEGIN}
if change <= lastChange() then
  return finish(redis.error_reply('${STALE} ' .. lastChange()))
end
`;

/**
 * Arguments: ..., the record, the term. A lease whose changes were forgotten stays one, and one that is over does not come
 * back: the next refresh says so.
 */
export const REGISTER: string = `${BEGIN_CHANGE}
local record, term = ARGV[5], tonumber(ARGV[6])
if isForgotten() and not isLeased() then return finish(1) end
if redis.call('HGET', records, id) ~= record then isChanged = true end
redis.call('HSET', records, id, record)
redis.call('HSET', terms, id, term)
redis.call('ZADD', leases, now + term, id)
if not isForgotten() then
  noteChange()
  redis.call('ZREM', gone, id)
end
return finish(1)
`;

/** 1: the lease has its full term again. 0: it is over. Its number is that of the last try of a change. */
export const REFRESH: string = `${BEGIN}
if not isLeased() then return finish(0) end
local term = redis.call('HGET', terms, id)
if isForgotten() or not term or not redis.call('HGET', records, id) then
  remove({ [id] = true })
  noteChange()
  return finish(0)
end
redis.call('ZADD', leases, now + tonumber(term), id)
return finish(1)
`;

/** What was sent for the lease before, and was never carried out, is not carried out any more either. */
export const UNREGISTER: string = `${BEGIN_CHANGE}
if isLeased() then remove({ [id] = true }) end
noteChange()
redis.call('ZADD', gone, now + ${GONE_MS}, id)
return finish(1)
`;

/** Arguments: ..., the shards. Returns those that are held now, in their order. */
export const ACQUIRE: string = `${BEGIN_CHANGE}
if not isLive() then return finish({}) end
local held = {}
for i = 5, #ARGV do
  local holder = redis.call('HGET', shards, ARGV[i])
  if not holder or not redis.call('ZSCORE', leases, holder) then
    redis.call('HSET', shards, ARGV[i], id)
    holder = id
  end
  if holder == id then held[#held + 1] = ARGV[i] end
end
noteChange()
return finish(held)
`;

/** Arguments: ..., the shards. */
export const RELEASE: string = `${BEGIN_CHANGE}
if not isLive() then return finish(1) end
for i = 5, #ARGV do
  if redis.call('HGET', shards, ARGV[i]) == id then
    redis.call('HDEL', shards, ARGV[i])
    isChanged = true
  end
end
noteChange()
return finish(1)
`;

/** Which of the keys hold something of another kind than is kept there. Changes nothing, and takes no right that others do not. */
export const LIST_TAKEN: string = `
local found = {
  redis.pcall('ZSCORE', KEYS[1], ''), redis.pcall('HGET', KEYS[2], ''), redis.pcall('HGET', KEYS[3], ''),
  redis.pcall('HGET', KEYS[4], ''), redis.pcall('HGET', KEYS[5], ''), redis.pcall('ZSCORE', KEYS[6], ''),
  redis.pcall('GET', KEYS[7])
}
local taken = {}
for i = 1, #KEYS do
  local said = type(found[i]) == 'table' and found[i].err or ''
  if string.find(said, 'WRONGTYPE', 1, true) then taken[#taken + 1] = KEYS[i] end
end
return taken
`;

export const LIST_RUNNERS: string = `${BEGIN}
local all, listed, unleased = redis.call('HGETALL', records), {}, {}
for i = 1, #all, 2 do
  if redis.call('ZSCORE', leases, all[i]) then listed[#listed + 1] = all[i + 1] else unleased[all[i]] = true end
end
if next(unleased) then remove(unleased) end
return finish(listed)
`;

/** Shards and their holders, in turn. */
export const LIST_SHARDS: string = `${BEGIN}
return finish(redis.call('HGETALL', shards))
`;

/**
 * The version, and in how many ms the first lease is over, or -1. No lease lasts longer from here than its term: a clock
 * that was set back would keep the shards of the dead.
 */
export const LOOK: string = `${BEGIN}
local first = -1
local all = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  local left = tonumber(all[i + 1]) - now
  local term = tonumber(redis.call('HGET', terms, all[i]) or '0')
  if left > term then
    redis.call('ZADD', leases, now + term, all[i])
    left = term
  end
  if first < 0 or left < first then first = left end
end
finish(1)
return { redis.call('GET', version) or '', first }
`;
