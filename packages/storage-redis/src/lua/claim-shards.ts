import { WRITE } from "./fence.ts";

/** ARGV: the claim with its session's connection, then the shards. Returns their new epochs, in that order. */
export const CLAIM_SHARDS: string = `${WRITE}
local floor = tonumber(redis.call('HGET', META, 'floor') or '0')
local epochs = {}
for at = 2, #ARGV do
  local entry = redis.call('HGET', EPOCHS, ARGV[at])
  local last = entry and tonumber(string.match(entry, '^%d+')) or 0
  local epoch = string.format('%.0f', math.max(last, floor) + 1)
  redis.call('HSET', EPOCHS, ARGV[at], epoch .. ' ' .. ARGV[1])
  epochs[#epochs + 1] = epoch
end
return epochs
`;
