// Patience: lets a little virtual time pass for calls that a test awaits, so that `await counter.increment()` comes back
// although a fault delayed or lost a message.
//
// Time moves by itself only while nothing else can happen, and for one call by PATIENCE_MS at the most: leases, sleeps of
// workflows and schedules wait for `advance`. Calls that wait side by side share the time that passes.

import type { VirtualClock } from "@holdfast/core/internal";

/** The most that time moves by itself for one call. */
export const PATIENCE_MS = 5_000;
const STEP_MS = 50;

interface Waiting {
  /** Monotonic time at which patience with it ends. */
  readonly until: number;
  /** Whether everything that is ready has run since it was sent: only then does it wait for time. */
  hasSettled: boolean;
}

export class Patience {
  readonly #clock: VirtualClock;
  readonly #waiting = new Set<Waiting>();
  #isMoving = false;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  async attend<Result>(call: () => Promise<Result>): Promise<Result> {
    const result = call();
    const waiting: Waiting = { until: this.#clock.monotonic() + PATIENCE_MS, hasSettled: false };
    const end = (): void => void this.#waiting.delete(waiting);
    result.then(end, end);
    this.#waiting.add(waiting);
    if (!this.#isMoving) void this.#move();
    return result;
  }

  /** One loop for all calls, so that a test's own `advance` never queues behind many. */
  async #move(): Promise<void> {
    this.#isMoving = true;
    while (this.#waiting.size > 0) {
      const asked = [...this.#waiting];
      await this.#clock.settle();
      for (const waiting of asked) waiting.hasSettled = true;
      const now = this.#clock.monotonic();
      for (const waiting of this.#waiting) if (waiting.until <= now) this.#waiting.delete(waiting);
      if ([...this.#waiting].some(({ hasSettled }) => hasSettled)) await this.#clock.advance(STEP_MS);
    }
    this.#isMoving = false;
  }
}
