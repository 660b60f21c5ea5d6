/**
 * The part of every script that knows the keys and the fence.
 *
 * `{prefix}:epochs` has for each shard `EPOCH CLAIM LINK`: which claim holds the shard, and the number of its session's
 * connection. A write passes if it names all three (claims.ts says why the epoch alone would not do). A shard whose claim
 * is void has the epoch alone, with a space after it, which no write names.
 */
export const FENCE: string = `
local base = KEYS[1]
local META = base .. 'meta'
local EPOCHS = base .. 'epochs'

-- Nil where the write may pass, else the answer that refuses it: the epoch at which the shard is, or nothing.
-- An empty claim: the writer knows the epoch from another session.
local function refusal(shard, epoch, claim)
  if shard == '' then return nil end
  local entry = redis.call('HGET', EPOCHS, shard)
  local at = entry and string.match(entry, '^%d+')
  local passes
  if claim == '' then
    passes = at == epoch and entry ~= epoch .. ' '
  else
    passes = entry == epoch .. ' ' .. claim
  end
  if passes then return nil end
  return {'fenced', at or ''}
end
`;

/** The beginning of each script that changes what is stored: it counts, so that a loss can be told (enter-session.ts). */
export const WRITE: string = `${FENCE}
redis.call('HINCRBY', META, 'position', 1)
`;
