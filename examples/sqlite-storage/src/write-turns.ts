import type { Clock } from "@holdfast/core/adapter";

/**
 * Who may write next on a session's one writing connection: one after the other, in the order in which they asked. The
 * interfaces promise that order, and a transaction of a handler lasts for several calls.
 */
export class WriteTurns {
  readonly #clock: Clock;
  #last: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when it is the caller's turn, to what ends the turn. */
  async take(): Promise<() => void> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    // A commit blocks the process while the disk works: what else is ready gets to run between two of them.
    this.#last = promise.then(() => this.#clock.nextTurn());
    await before;
    return resolve;
  }
}
