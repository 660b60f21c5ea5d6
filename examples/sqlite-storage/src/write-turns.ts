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
    const { turn, end } = this.#queue();
    await turn;
    return end;
  }

  /** The same, or null where it is not the caller's turn after `limitMs`. */
  async takeWithin(limitMs: number): Promise<(() => void) | null> {
    const { turn, end } = this.#queue();
    const { promise: late, resolve: giveUp } = Promise.withResolvers<boolean>();
    // A commit of this process may have kept the timer as well as the turn: one that is free by now is taken.
    const timer = this.#clock.setTimer(limitMs, () => void this.#clock.nextTurn().then(() => giveUp(true)));
    const isLate = await Promise.race([turn.then(() => false), late]);
    timer.cancel();
    if (!isLate) return end;
    // Who waits behind this one waits for who was before it.
    void turn.then(end);
    return null;
  }

  #queue(): { readonly turn: Promise<void>; readonly end: () => void } {
    const turn = this.#last;
    const { promise, resolve: end } = Promise.withResolvers<void>();
    // A commit blocks the process while the disk works: what else is ready gets to run between two of them.
    this.#last = promise.then(() => this.#clock.nextTurn());
    return { turn, end };
  }
}
