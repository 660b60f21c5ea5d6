import type { ShardId } from "./shard-id.ts";

/** The fencing token of a shard: a whole number that storage raises each time the shard is claimed. */
export type Epoch = number;

/** What a write on behalf of a shard carries: storage refuses it once the shard is past `epoch` (INV-1). */
export interface Fence {
  readonly shardId: ShardId;
  readonly epoch: Epoch;
}
