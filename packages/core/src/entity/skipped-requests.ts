// SkippedRequests: the stored requests on a runner's shards that no code here handles, and how its reads get past them to what is
// behind.
//
// A read is told the sequences that it leaves out. That costs with each of them, and reads are frequent: so where there are too
// many, most reads leave out whole entities, and one now and then looks behind.
//
//   K1  What no code handles holds up nothing for good: all else that is stored for its entity is read, in order.
//   K2  Of an entity that is left out, storage may hold due requests that are not in memory: new ones queue behind them there.

import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { ShardId } from "../data/shard-id.ts";

/**
 * So many are left out of a read one by one, and so many more are looked for behind them at a time. A read of 300 shards that is told
 * 10,000 takes PostgreSQL 18 ms, and 13 ms if it is told their entities; Redis 34 ms and 5 ms.
 */
const MOST_SKIPPED = 5_000;
/** How often the entities that are left out are looked at. A read that is told 100,000 takes 0.4 s. */
const LOOK_INTERVAL_MS = 10_000;

interface Skipped {
  readonly address: EntityAddress;
  readonly sequences: number[];
}

export class SkippedRequests {
  /** By their entities, whose others are read. */
  readonly #skipped = new Map<string, Skipped>();
  /** How many those are. */
  #count = 0;
  /** By their entities, which most reads leave out. */
  readonly #leftOut = new Map<string, Skipped>();
  /** Whether the read under way leaves out none of those, and how many more it may find that no code handles. */
  #looks = false;
  #room = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param now monotonic time */
  beginRead(now: number): void {
    this.#looks = this.#leftOut.size > 0 && now - this.#lookedAt >= LOOK_INTERVAL_MS;
    if (!this.#looks) return;
    this.#lookedAt = now;
    this.#room = MOST_SKIPPED;
  }

  /** Leaves out one request of an entity. Where that makes too many, the entity that has most of them is left out. */
  add(sequence: number, address: EntityAddress): void {
    const key = entityKey(address);
    const leftOut = this.#leftOut.get(key);
    if (leftOut !== undefined) {
      leftOut.sequences.push(sequence);
      this.#room -= 1;
      // The next look goes on behind them: what else is stored does not wait until all are found.
      if (this.#room <= 0) this.#looks = false;
      return;
    }
    const skipped = this.#skipped.get(key) ?? { address, sequences: [] };
    skipped.sequences.push(sequence);
    this.#skipped.set(key, skipped);
    this.#count += 1;
    if (this.#count <= MOST_SKIPPED) return;
    let most = skipped;
    for (const other of this.#skipped.values())
      if (other.sequences.length > most.sequences.length) most = other;
    this.#leftOut.set(entityKey(most.address), most);
    this.#skipped.delete(entityKey(most.address));
    this.#count -= most.sequences.length;
  }

  /** The sequences of the requests that the read under way leaves out one by one. */
  *sequences(): Generator<number, void, undefined> {
    for (const { sequences } of this.#skipped.values()) yield* sequences;
    if (this.#looks) for (const { sequences } of this.#leftOut.values()) yield* sequences;
  }

  /** The entities that the read under way leaves out. */
  *entities(): Generator<EntityAddress, void, undefined> {
    if (!this.#looks) for (const { address } of this.#leftOut.values()) yield address;
  }

  /** Whether reads leave this entity out (K2). It is so still while one looks: that may come to no end. */
  isLeftOut(address: EntityAddress): boolean {
    return this.#leftOut.size > 0 && this.#leftOut.has(entityKey(address));
  }

  get isEmpty(): boolean {
    return this.#skipped.size + this.#leftOut.size === 0;
  }

  /** A shard left: another runner may have the code. */
  forgetShard(shardId: ShardId): void {
    for (const [key, { address, sequences }] of this.#skipped) {
      if (address.shardId !== shardId) continue;
      this.#skipped.delete(key);
      this.#count -= sequences.length;
    }
    for (const [key, { address }] of this.#leftOut)
      if (address.shardId === shardId) this.#leftOut.delete(key);
  }

  clear(): void {
    this.#skipped.clear();
    this.#leftOut.clear();
    this.#count = 0;
  }
}
