// Standstill: says so where a test awaits what only time brings, and nobody lets virtual time pass. It goes by real time, of
// which nothing in the cluster knows: no order of events depends on it.

import type { VirtualClock } from "@holdfast/core/internal";

/** In real time: less than tests are given by their runners, and more than a busy machine stands still. */
const LOOK_AFTER_MS = 3_000;

export class Standstill {
  readonly #clock: Pick<VirtualClock, "monotonic">;
  readonly #say: (hint: string) => void;
  #waiting = 0;
  #isWatching = false;
  #wasSaid = false;

  /** @param say is told once */
  constructor(clock: Pick<VirtualClock, "monotonic">, say: (hint: string) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  /** Has an eye on time until the call comes back. */
  async watch<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#waiting += 1;
    this.#look();
    try {
      return await call();
    } finally {
      this.#waiting -= 1;
    }
  }

  #look(): void {
    if (this.#isWatching || this.#wasSaid) return;
    this.#isWatching = true;
    const before = this.#clock.monotonic();
    const timer = setTimeout(() => {
      this.#isWatching = false;
      if (this.#waiting === 0) return;
      if (this.#clock.monotonic() !== before) return this.#look();
      this.#wasSaid = true;
      this.#say(
        `A test cluster stands still: ${this.#waiting === 1 ? "a call waits" : `${this.#waiting} calls wait`}, and virtual time has not ` +
          `moved for ${LOOK_AFTER_MS / 1_000} s. What sleeps, is put off or is repeated later needs cluster.advance(): begin the call, ` +
          "let time pass, and await it then.",
      );
    }, LOOK_AFTER_MS);
    timer.unref();
  }
}
