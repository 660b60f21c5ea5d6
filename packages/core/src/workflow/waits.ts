// Waits: the durable timers that an execution waits for while it is in memory.
//
// What makes them durable is their entry in the journal; this only wakes the execution while it is here, and says when it
// would have to come back. A wait never ends early (INV-7).

import type { Clock, Timer } from "../adapter/clock.ts";

/** A wall clock that is set forward moves no timer, and one of a machine that was suspended may have stood still: so it looks. */
const LONGEST_TIMER_MS = 10_000;

export class Waits {
  readonly #clock: Clock;
  readonly #waiting = new Map<symbol, { readonly dueAt: number; timer: Timer }>();
  #isStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Wall time of the earliest one, or null. */
  get earliest(): number | null {
    let earliest: number | null = null;
    for (const { dueAt } of this.#waiting.values())
      earliest = earliest === null ? dueAt : Math.min(earliest, dueAt);
    return earliest;
  }

  /** Calls `wake` when the wall clock has reached `dueAt`; never after `stop()`. Returns what ends the wait. */
  until(dueAt: number, wake: () => void): () => void {
    if (this.#isStopped) return () => undefined;
    const id = Symbol("wait");
    const arm = (): Timer =>
      this.#clock.setTimer(Math.min(Math.max(0, dueAt - this.#clock.now()), LONGEST_TIMER_MS), () => {
        const wait = this.#waiting.get(id);
        if (wait === undefined) return;
        // It only looks, or the wall clock was set back meanwhile.
        if (this.#clock.now() < dueAt) {
          wait.timer = arm();
          return;
        }
        this.#waiting.delete(id);
        wake();
      });
    this.#waiting.set(id, { dueAt, timer: arm() });
    return () => {
      this.#waiting.get(id)?.timer.cancel();
      this.#waiting.delete(id);
    };
  }

  stop(): void {
    this.#isStopped = true;
    for (const { timer } of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
  }
}
