// Standstill: says so where a test awaits what only time brings, and nobody lets virtual time pass. It goes by real time, of
// which nothing in the cluster knows: no order of events depends on it.

import type { VirtualClock } from "@holdfast/core/internal";

/** In real time: less than tests are given by their runners, and more than a busy machine stands still. */
const LOOK_AFTER_MS = 3_000;

/** The platform's own, also after a test's framework exchanged it. */
const setRealTimer = setTimeout;

export class Standstill {
  readonly #clock: Pick<VirtualClock, "monotonic">;
  readonly #say: (hint: string) => void;
  readonly #setTimer: typeof setTimeout;
  /** Those that have not come back, in the order in which they began. */
  readonly #waiting = new Map<symbol, string>();
  #isWatching = false;
  #wasSaid = false;

  /** @param say is told once */
  constructor(
    clock: Pick<VirtualClock, "monotonic">,
    say: (hint: string) => void,
    setTimer: typeof setTimeout = setRealTimer,
  ) {
    this.#clock = clock;
    this.#say = say;
    this.#setTimer = setTimer;
  }

  /** Has an eye on time until the call comes back. @param what names it */
  async watch<Result>(what: string, call: () => Promise<Result>): Promise<Result> {
    const waiting = Symbol("call");
    this.#waiting.set(waiting, what);
    this.#look();
    try {
      return await call();
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  #look(): void {
    if (this.#isWatching || this.#wasSaid) return;
    this.#isWatching = true;
    const [oldest] = this.#waiting.keys();
    const before = this.#clock.monotonic();
    const timer = this.#setTimer(() => {
      this.#isWatching = false;
      const [first] = this.#waiting;
      if (first === undefined) return;
      const [stillOldest, what] = first;
      if (stillOldest !== oldest || this.#clock.monotonic() !== before) return this.#look();
      this.#wasSaid = true;
      const { size } = this.#waiting;
      const who = size === 1 ? `${what} waits` : `${size} calls wait, ${what} first of all`;
      this.#say(
        `A test cluster stands still: ${who}, and virtual time has not ` +
          `moved for ${LOOK_AFTER_MS / 1_000} s. What sleeps, is put off or is repeated later needs cluster.advance(): begin the call, ` +
          "let time pass, and await it then.",
      );
    }, LOOK_AFTER_MS);
    timer.unref();
  }
}
