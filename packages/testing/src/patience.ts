// Patience: lets a little virtual time pass for calls that a test awaits, so that `await counter.increment()` comes back
// although a fault delayed or lost a message.
//
// Time moves by itself only while nothing else can happen, and for one call by PATIENCE_MS at the most: leases, sleeps of
// workflows and schedules wait for `advance`.

import type { VirtualClock } from "@holdfast/core/internal";

/** The most that time moves by itself for one call. */
export const PATIENCE_MS = 5_000;
const STEP_MS = 50;

export class Patience {
  readonly #clock: VirtualClock;
  #attending = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  async attend<Result>(call: () => Promise<Result>): Promise<Result> {
    const result = call();
    let isPending = true;
    const end = (): void => {
      isPending = false;
    };
    result.then(end, end);
    void this.#wait(() => isPending);
    return result;
  }

  async #wait(isPending: () => boolean): Promise<void> {
    await this.#clock.settle();
    const until = this.#clock.monotonic() + PATIENCE_MS;
    this.#attending += 1;
    // Calls that wait side by side share the time that passes.
    while (isPending() && this.#clock.monotonic() < until) await this.#clock.advance(STEP_MS / this.#attending);
    this.#attending -= 1;
  }
}
