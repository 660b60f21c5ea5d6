// Ownership: which runner serves which shard, by what the runners say, and how long nobody did.

import type { ShardId } from "@holdfast/core/adapter";
import { machineNow } from "./clock.ts";

interface Owned {
  readonly owners: Set<string>;
  /** Since when nobody serves it, or null. */
  freeSince: number | null;
}

export class Ownership {
  readonly #shards = new Map<string, Owned>();
  #longestMs = 0;
  #isCounting = false;

  constructor(shardIds: readonly ShardId[]) {
    for (const shardId of shardIds) this.#shards.set(shardId, { owners: new Set(), freeSince: machineNow() });
  }

  acquired(runner: string, shardId: string, at: number): void {
    const shard = this.#shard(shardId);
    shard.owners.add(runner);
    if (shard.freeSince !== null) this.#count(at - shard.freeSince);
    shard.freeSince = null;
  }

  lost(runner: string, shardId: string, at: number): void {
    const shard = this.#shard(shardId);
    if (shard.owners.delete(runner) && shard.owners.size === 0) shard.freeSince = at;
  }

  /** The process serves nothing from here on: it was killed, or stopped. Returns what it held. */
  silenced(runner: string, at: number): readonly string[] {
    const held = [...this.#shards].filter(([, { owners }]) => owners.has(runner)).map(([shardId]) => shardId);
    for (const shardId of held) this.lost(runner, shardId, at);
    return held;
  }

  /** Whether each shard has an owner. */
  isComplete(): boolean {
    return [...this.#shards.values()].every(({ freeSince }) => freeSince === null);
  }

  /** The shards that this runner serves. */
  heldBy(runner: string): readonly string[] {
    return [...this.#shards].filter(([, { owners }]) => owners.has(runner)).map(([shardId]) => shardId);
  }

  /** Times without an owner count from here on, from 0. */
  startCounting(): void {
    this.#isCounting = true;
    this.#longestMs = 0;
  }

  /** The longest time that a shard had no owner, in ms; one that has none now included. */
  longestGapMs(): number {
    const now = machineNow();
    const open = [...this.#shards.values()].map(({ freeSince }) =>
      freeSince === null ? 0 : now - freeSince,
    );
    return Math.max(this.#longestMs, ...open);
  }

  #count(gapMs: number): void {
    if (this.#isCounting) this.#longestMs = Math.max(this.#longestMs, gapMs);
  }

  #shard(shardId: string): Owned {
    const shard = this.#shards.get(shardId);
    if (shard === undefined) throw new Error(`There is no shard ${shardId}`);
    return shard;
  }
}
