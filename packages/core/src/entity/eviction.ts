// Eviction: lets entities leave memory that have had no request for a while.

import type { Clock, Timer } from "../adapter/clock.ts";
import { within } from "../clock/within.ts";
import type { Logger } from "../contract/logger.ts";
import { entityKey } from "../data/entity-address.ts";
import type { Activation } from "./activation.ts";
import type { HostedShard } from "./hosted-shard.ts";

const LONGEST_INTERVAL_MS = 5_000;
const SHORTEST_INTERVAL_MS = 50;
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
    if (this.#timer !== undefined || this.#isStopped) return;
    // A quarter of the idle time, which is counted from a look at it: nobody stays more than half as long again as it should.
    const intervalMs = Math.min(
      LONGEST_INTERVAL_MS,
      Math.max(SHORTEST_INTERVAL_MS, this.#options.shortestIdleTimeMs() / 4),
    );
    this.#timer = this.#options.clock.setTimer(intervalMs, () => {
      this.#timer = undefined;
      if (this.#sweep()) this.watch();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Whether there were any. */
  #sweep(): boolean {
    const now = this.#options.clock.monotonic();
    let isAny = false;
    for (const shard of this.#options.shards()) {
      if (shard.activations.size === 0) continue;
      isAny = true;
      for (const activation of shard.activations.values()) {
        if (!activation.isIdle || activation.isBacklogged) continue;
        activation.idleSince ??= now;
        const maxIdleTimeMs = this.#options.maxIdleTimeMs(activation.address.entityType);
        if (now - activation.idleSince < maxIdleTimeMs) continue;
        void this.#evict(shard, activation);
      }
    }
    return isAny;
  }

  async #evict(shard: HostedShard, activation: Activation): Promise<void> {
    const { clock, logger, evict, terminationTimeoutMs } = this.#options;
    const mostMs = Math.max(terminationTimeoutMs, CALLBACKS_MS);
    if (!(await within(clock, evict(activation), mostMs))) {
      logger.warn("An entity leaves memory although its onEvict callbacks are still at work", {
        entity: entityKey(activation.address),
      });
      activation.leave();
    }
    // A request may have come while onEvict ran, and have ended by now: then it stays, with fresh handlers.
    if (activation.isIdle && activation.idleSince !== null) shard.remove(activation);
  }
}
