/** Names a shard, `group:number`, for example `default:17`. The number is in `[0, shardsPerGroup)`. */
export type ShardId = `${string}:${number}`;

export function shardIdOf(group: string, number: number): ShardId {
  return `${group}:${number}`;
}

/** All shards of a group. */
export function shardIdsOf(group: string, shardsPerGroup: number): ShardId[] {
  return Array.from({ length: shardsPerGroup }, (_, number) => shardIdOf(group, number));
}

/** The shard group of a shard id. A group's name may hold colons; the number after the last one does not. */
export function shardGroupOf(shardId: ShardId): string {
  return shardId.slice(0, shardId.lastIndexOf(":"));
}
