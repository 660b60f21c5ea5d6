import type { RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";

/**
 * Who is a member, and which runner holds the lease of which shard. One lease for each member covers its record and all
 * its shards: it ends as a whole, `ttlMs` after the last refresh. Time is the storage's own.
 *
 * Leases keep two owners from existing most of the time; safety rests on the epochs in MessageStorage. Every method is
 * safe to repeat, and may reject with PersistenceError.
 */
export interface RunnerStorage {
  readonly supports: {
    /** Whether `watch` reports changes made by others by itself. Where not, members list at each refresh. */
    readonly watch: boolean;
  };

  /**
   * Takes a lease of `ttlMs` for this member and publishes its record. Repeated for a live lease, with the same `ttlMs`: replaces
   * the record, and the lease has its full term again. An id whose lease is over is not used again; if it is, the shards of old
   * do not come back.
   */
  register(record: RunnerRecord, ttlMs: number): Promise<void>;

  /**
   * The lease ends `ttlMs` from now on, and not later, however often this is called. `lost` once it has run out, also if nobody
   * took its shards: it never comes back.
   */
  refresh(runnerId: string): Promise<"held" | "lost">;

  /** Ends the lease: the record is gone and every shard it held is free when this resolves. */
  unregister(runnerId: string): Promise<void>;

  /** The members with a live lease, in no order. */
  listRunners(): Promise<readonly RunnerRecord[]>;

  /**
   * Takes the leases of those shards that are free and returns those that this runner holds now, in the order of
   * `shardIds`: no other live runner holds one of them. Returns none if the runner's own lease is over.
   */
  acquireShards(runnerId: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]>;

  /** Frees those shards that this runner holds. */
  releaseShards(runnerId: string, shardIds: readonly ShardId[]): Promise<void>;

  /** The shards of each group that a live runner holds, by runner id. For status and tests. */
  listShards(): Promise<ReadonlyMap<ShardId, string>>;

  /** Calls `changed` after members came, left or changed, or shards were freed. May come late or twice. Resolves to what ends it. */
  watch(changed: () => void): Promise<() => Promise<void>>;
}
