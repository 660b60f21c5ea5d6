/**
 * Finds out whether the user may do all that scripts do, before a session is entered. Redis checks that at each command of a
 * script and not at its beginning, so that a script whose user lacks one would stop in the middle, half written.
 *
 * Runs each command that a script runs on keys of its own, and deletes them. Returns the first refusal as an error. A server
 * that takes no writes now may take them later: what it says of that is none. Announcing is left out: it may fail.
 */
export const PROBE: string = `
local text, hash = KEYS[1] .. 'probe:text', KEYS[1] .. 'probe:hash'
local set, sorted = KEYS[1] .. 'probe:set', KEYS[1] .. 'probe:sorted'
local refused
for _, command in ipairs({
  {'INFO', 'replication'},
  {'TIME'},
  {'SET', text, '1'},
  {'GET', text},
  {'EXISTS', text},
  {'HSET', hash, 'a', '1'},
  {'HSETNX', hash, 'b', '1'},
  {'HINCRBY', hash, 'a', 1},
  {'HGET', hash, 'a'},
  {'HMGET', hash, 'a', 'b'},
  {'HGETALL', hash},
  {'HKEYS', hash},
  {'HDEL', hash, 'a'},
  {'SADD', set, 'a'},
  {'SCARD', set},
  {'SINTER', set},
  {'SREM', set, 'a'},
  {'ZADD', sorted, 1, 'a'},
  {'ZRANGE', sorted, 0, 0},
  {'ZRANGEBYSCORE', sorted, 0, 1},
  {'ZREVRANGEBYLEX', sorted, '+', '-'},
  {'ZRANK', sorted, 'a'},
  {'ZREM', sorted, 'a'},
  {'DEL', text, hash, set, sorted},
}) do
  local answer = redis.pcall(unpack(command))
  local failure = type(answer) == 'table' and answer.err
  if failure and not refused then
    local code = string.match(failure, '^-?(%u+) ')
    local is_passing = code == 'OOM' or code == 'READONLY' or code == 'MISCONF' or code == 'NOREPLICAS'
    if not is_passing then refused = 'NOPERM the user needs ' .. command[1] .. ' on all keys of the prefix: ' .. failure end
  end
end
return refused and redis.error_reply(refused) or 'done'
`;
