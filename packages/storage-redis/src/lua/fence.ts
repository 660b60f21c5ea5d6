/** The part of every script that knows how keys begin. */
export const BASE: string = `
local base = KEYS[1]
local META = base .. 'meta'
local EPOCHS = base .. 'epochs'
`;

/** How long the number of a session's connection is kept. Nothing is on its way for longer, and a write puts it back. */
const LINK_KEPT_MS = 86_400_000;

/**
 * The part of scripts that keeps the number of a session's latest connection, `{prefix}:link:SESSION`. A write that was sent on
 * an older one is refused, with a fence or without: what was looked up since then says that it was not there.
 */
export const LINK: string = `
local function link_key(session) return base .. 'link:' .. session end
local function keep_link(session, link) return redis.pcall('SET', link_key(session), link, 'PX', ${LINK_KEPT_MS}) end
`;

/** Deletes nothing, as the first write of a script: what follows it is not refused for lack of memory. Says nothing of a refusal. */
export const MAKE_WAY = "redis.pcall('HDEL', META, 'none')\n";

/** With what each of these scripts begins: it takes off ARGV from whom it comes. */
export const SENDER: string = `${BASE}${LINK}
local seen, incarnation = tonumber(table.remove(ARGV)), table.remove(ARGV)
local link, session = tonumber(table.remove(ARGV)), table.remove(ARGV)
local latest = tonumber(redis.call('GET', link_key(session)) or '0')
if latest > link then return redis.error_reply('STALE it came over a connection that was lost') end
local meta = redis.call('HMGET', META, 'incarnation', 'position')
if meta[1] and (meta[1] ~= incarnation or tonumber(meta[2] or '0') < seen) then
  return redis.error_reply('STALE the server has other data than those that were entered')
end
`;

/**
 * The beginning of each script that changes what is stored. It counts, so that a loss can be told (enter-session.ts). The last of
 * ARGV, which the rest of the script does not see: the session, the number of the connection on which this was sent, the
 * incarnation that it has entered, and the position up to which the session had seen the server's history.
 *
 * `{prefix}:epochs` has for each shard `EPOCH CLAIM LINK`: which claim holds the shard, and the number of its session's
 * connection. A write passes if it names all three (claims.ts says why the epoch alone would not do). A shard whose claim
 * is void has the epoch alone, with a space after it, which no write names.
 *
 * A server that was a replica meanwhile has other data, and its connections may have lived on: who has not entered what is there
 * now writes nothing, since it goes on from what may be gone. Nor does who has seen more than is there; and it counts nothing, or
 * what it sends next would find that the server has caught up. Where nothing was ever entered, there is no claim either.
 */
export const WRITE: string = write("");

/**
 * The same of what frees memory or ends work: also a server that has no memory left takes it. Redis asks for room until a script has
 * changed something, and to delete needs none.
 */
export const WRITE_WHEN_FULL: string = write(MAKE_WAY);

/** The same of what does so under a condition in Lua, and else waits for room. */
export function writeWhenFullIf(condition: string): string {
  return write(`if ${condition} then ${MAKE_WAY.trimEnd()} end\n`);
}

function write(first: string): string {
  return `${SENDER}${first}redis.call('HINCRBY', META, 'position', 1)
if latest < link then keep_link(session, link) end

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
}
