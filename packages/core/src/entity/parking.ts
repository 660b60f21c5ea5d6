// Parking: requests that come for a shard which is on its way to this runner wait a moment instead of being sent away.
//
// Bounded: what comes on top is not parked, and its sender is told to try again.

import type { ShardId } from "../data/shard-id.ts";

const MAX_PARKED = 1_000;

export class Parking {
  readonly #waiting = new Map<ShardId, (() => void)[]>();

  /** The shard is expected: what comes for it may wait. */
  open(shardId: ShardId): void {
    if (!this.#waiting.has(shardId)) this.#waiting.set(shardId, []);
  }

  /** The shard has come, or will not: all who wait go on, and find out which. */
  close(shardId: ShardId): void {
    const waiting = this.#waiting.get(shardId);
    this.#waiting.delete(shardId);
    for (const resume of waiting ?? []) resume();
  }

  closeAll(): void {
    for (const shardId of this.#waiting.keys()) this.close(shardId);
  }

  /** Resolves when the shard has come or will not; at once if it is not expected, or too many wait. */
  async wait(shardId: ShardId): Promise<void> {
    const waiting = this.#waiting.get(shardId);
    if (waiting === undefined || waiting.length >= MAX_PARKED) return;
    await new Promise<void>((resolve) => waiting.push(resolve));
  }

  isOpen(shardId: ShardId): boolean {
    return this.#waiting.has(shardId);
  }
}
