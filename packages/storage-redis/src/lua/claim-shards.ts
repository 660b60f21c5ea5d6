import { WRITE_WHEN_FULL } from "./fence.ts";

/**
 * ARGV: the claim with its session's connection, then for each shard its id and the latest epoch that the session knows of.
 * Returns the new epochs, in that order.
 *
 * An emptied Redis knows of no epoch, and its members still do: they go on above theirs.
 */
export const CLAIM_SHARDS: string = `${WRITE_WHEN_FULL}
local floor = tonumber(redis.call('HGET', META, 'floor') or '0')
local epochs = {}
for at = 2, #ARGV, 2 do
  local entry = redis.call('HGET', EPOCHS, ARGV[at])
  local last = entry and tonumber(string.match(entry, '^%d+')) or 0
  local epoch = string.format('%.0f', math.max(last, floor, tonumber(ARGV[at + 1])) + 1)
  redis.call('HSET', EPOCHS, ARGV[at], epoch .. ' ' .. ARGV[1])
  epochs[#epochs + 1] = epoch
end
return epochs
`;
