// SharedTurn: one turn of the event loop for all that ask for it at once. Where 500 executions took as many turns, that was a
// tenth of the client's time.
//
//   T1  Who asked goes on when all that was ready then has run. What one of them causes has not run when the next one goes
//       on: it is for those that do not look at each other's doings.

import type { Clock } from "../adapter/clock.ts";

export class SharedTurn {
  readonly #clock: Clock;
  #next: Promise<void> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves in the next turn, together with all that asked since the last one. */
  next(): Promise<void> {
    this.#next ??= this.#clock.nextTurn().then(this.#begins);
    return this.#next;
  }

  /** Before those who asked go on: what they ask for then is another turn. */
  readonly #begins = (): void => {
    this.#next = null;
  };
}
