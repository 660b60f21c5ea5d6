// Eviction: lets entities leave memory that have had no request for a while.

import type { Clock, Timer } from "../adapter/clock.ts";
import { within } from "../clock/within.ts";
import type { Logger } from "../contract/logger.ts";
import { entityKey } from "../data/entity-address.ts";
import type { Activation } from "./activation.ts";
import type { HostedShard } from "./hosted-shard.ts";

const LONGEST_INTERVAL_MS = 5_000;
const SHORTEST_INTERVAL_MS = 50;
/** So many are looked at for each millisecond between two looks: a hundredth of a processor or two at the most. */
const LOOKED_PER_MS = 200;
/** How long the callbacks of one that is idle may take at least: who shuts down soon need not have less time for this. */
const CALLBACKS_MS = 60_000;

export interface EvictionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the callbacks of one may take where its shard moves. */
  readonly terminationTimeoutMs: number;
  readonly shards: () => Iterable<HostedShard>;
  /** Milliseconds without a request after which an entity of this type leaves. */
  readonly maxIdleTimeMs: (entityType: string) => number;
  /** The shortest of them, now. */
  readonly shortestIdleTimeMs: () => number;
  /** Lets one leave: resolves when its callbacks have run. */
  readonly evict: (activation: Activation) => Promise<void>;
}

export class Eviction {
  readonly #options: EvictionOptions;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** There is one in memory: it is looked at now and then, as long as there are any. */
  watch(): void {
    if (this.#timer === undefined && !this.#isStopped) this.#lookIn(this.#intervalMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** A quarter of the shortest idle time: whoever is to leave is seen before that is due. */
  get #intervalMs(): number {
    const { shortestIdleTimeMs } = this.#options;
    return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, shortestIdleTimeMs() / 4));
  }

  #lookIn(delayMs: number): void {
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      const { looked, nextInMs } = this.#sweep();
      // Among many, one that is due waits for others: to look at all of them each time would cost more than they do.
      const leastMs = Math.max(SHORTEST_INTERVAL_MS, looked / LOOKED_PER_MS);
      if (looked > 0) this.#lookIn(Math.min(this.#intervalMs, Math.max(leastMs, nextInMs)));
    });
  }

  /** How many there were, and in how many milliseconds the next one is due: Infinity where none is idle. */
  #sweep(): { readonly looked: number; readonly nextInMs: number } {
    const now = this.#options.clock.monotonic();
    let looked = 0;
    let nextInMs = Number.POSITIVE_INFINITY;
    for (const shard of this.#options.shards()) {
      if (shard.activations.size === 0) continue;
      for (const activation of shard.activations.values()) {
        looked += 1;
        if (!activation.isIdle || activation.isBacklogged) continue;
        // Its only request may have left before it began.
        activation.idleSince ??= now;
        const dueAt = activation.idleSince + this.#options.maxIdleTimeMs(activation.address.entityType);
        if (dueAt <= now) void this.#evict(shard, activation);
        else nextInMs = Math.min(nextInMs, dueAt - now);
      }
    }
    return { looked, nextInMs };
  }

  async #evict(shard: HostedShard, activation: Activation): Promise<void> {
    const { clock, logger, evict, terminationTimeoutMs } = this.#options;
    const mostMs = Math.max(terminationTimeoutMs, CALLBACKS_MS);
    activation.idleSince = null;
    if (!(await within(clock, evict(activation), mostMs))) {
      logger.warn("An entity leaves memory although its onEvict callbacks are still at work", {
        entity: entityKey(activation.address),
      });
      activation.leave();
    }
    // A request may have come while onEvict ran, and have ended by now: then it stays, with fresh handlers.
    // Or what found no room meanwhile waits in storage: another one would not know of it (INV-4).
    if (activation.isIdle && activation.idleSince === null && !activation.isBacklogged)
      shard.remove(activation);
  }
}
