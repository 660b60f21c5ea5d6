// HandOver: gives shards up so that each is without an owner for as short a time as can be.
//
// Orders and counts. What draining and freeing mean, its user says.
//
//   W1  Shards on which nothing runs go first. All the others are served until their turn comes.
//   W2  At most WINDOW shards are closed at a time; one whose handlers take their time holds up nobody behind it.
//   W3  What is drained is freed at once, together with what was drained while the last call was under way.

import type { Clock } from "../adapter/clock.ts";
import type { ShardId } from "../data/shard-id.ts";

/** How many shards are closed at a time, so that none waits long for the calls that free it and take it elsewhere. */
const WINDOW = 32;
/** A shard that drains for longer has handlers that take their time, and counts no more. */
const SLOW_MS = 250;

export interface HandOverOptions {
  readonly clock: Clock;
  /** Whether nothing runs on the shard now. */
  readonly isIdle: (shardId: ShardId) => boolean;
  /** Whether it should still be given up: asked when its turn comes. */
  readonly isDue: (shardId: ShardId) => boolean;
  /** Stops admitting and lets handlers end. Resolves to whether the shard is still there to be freed. Never rejects. */
  readonly drain: (shardId: ShardId) => Promise<boolean>;
  /** Frees shards that are drained, and tells their next owners. Never rejects. */
  readonly free: (shardIds: readonly ShardId[]) => Promise<void>;
}

export class HandOver {
  readonly #options: HandOverOptions;
  readonly #waiting = new Set<ShardId>();
  readonly #draining = new Set<ShardId>();
  /** Those of `#draining` that count (W2). */
  #counted = 0;
  #drained: ShardId[] = [];
  #freeing = false;
  #isCancelled = false;
  #settled: (() => void)[] = [];

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /** Gives these up, each when its turn comes. What waits or drains already is not begun twice. */
  begin(shardIds: readonly ShardId[]): void {
    const fresh = shardIds.filter((shardId) => !this.#waiting.has(shardId) && !this.#draining.has(shardId));
    const idle = fresh.filter((shardId) => this.#options.isIdle(shardId));
    const busy = new Set([...this.#waiting, ...fresh]);
    for (const shardId of idle) busy.delete(shardId);
    this.#waiting.clear();
    for (const shardId of [...idle, ...busy]) this.#waiting.add(shardId);
    this.#pump();
  }

  /** Resolves when everything that was begun is freed, or was found to be gone. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  /** Begins nothing more. What drains goes on. */
  cancel(): void {
    this.#isCancelled = true;
    this.#waiting.clear();
    this.#checkSettled();
  }

  #pump(): void {
    for (const shardId of this.#waiting) {
      if (this.#counted >= WINDOW) break;
      this.#waiting.delete(shardId);
      if (this.#options.isDue(shardId)) void this.#drain(shardId);
    }
    this.#checkSettled();
  }

  async #drain(shardId: ShardId): Promise<void> {
    this.#draining.add(shardId);
    this.#counted += 1;
    let isCounted = true;
    const uncount = (): void => {
      if (!isCounted) return;
      isCounted = false;
      this.#counted -= 1;
      this.#pump();
    };
    const slow = this.#options.clock.setTimer(SLOW_MS, uncount);
    const isThere = await this.#options.drain(shardId);
    slow.cancel();
    this.#draining.delete(shardId);
    if (isThere) {
      this.#drained.push(shardId);
      if (!this.#freeing) void this.#freeDrained();
    } else if (!this.#isCancelled && this.#options.isDue(shardId)) {
      // It left while it drained, came back, and was to be given up again, which was not begun twice.
      this.#waiting.add(shardId);
    }
    uncount();
    this.#pump();
  }

  async #freeDrained(): Promise<void> {
    this.#freeing = true;
    // What ends in this turn goes into one call.
    await Promise.resolve();
    while (this.#drained.length > 0) {
      const shardIds = this.#drained;
      this.#drained = [];
      await this.#options.free(shardIds);
    }
    this.#freeing = false;
    this.#checkSettled();
  }

  #isSettled(): boolean {
    return (
      this.#waiting.size === 0 && this.#draining.size === 0 && this.#drained.length === 0 && !this.#freeing
    );
  }

  #checkSettled(): void {
    if (this.#isSettled()) for (const resolve of this.#settled.splice(0)) resolve();
  }
}
