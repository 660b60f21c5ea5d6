import type { EntityAddress } from "../data/entity-address.ts";
import type { ShardId } from "../data/shard-id.ts";

/** What `cluster.events` emits, and with what. */
export interface ClusterEvents {
  /** This runner serves the shard now. */
  shardAcquired: [shard: { shardId: ShardId }];
  /** This runner serves the shard no more. */
  shardLost: [shard: { shardId: ShardId; reason: string }];
  runnerJoined: [runner: { runnerId: string; address: string; role: "runner" | "client" }];
  runnerLeft: [runner: { runnerId: string; address: string; role: "runner" | "client" }];
  /** This runner gave up its shards because storage or leases are out of reach. */
  detached: [detachment: { reason: string }];
  /** This runner takes shards again. */
  attached: [];
  deadLettered: [letter: { requestId: string; address: EntityAddress; tag: string }];
}
