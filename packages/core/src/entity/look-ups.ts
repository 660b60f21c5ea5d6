// LookUps: has look-ups in storage take turns, since as many may be asked for at once as find a mailbox full.
//
//   U1  Few are made at a time: the work of all other entities needs storage, too.
//   U2  Where storage was silent for one, those behind it are not made: each would wait for its deadline, time and again.

import type { Clock } from "../adapter/clock.ts";
import { Lanes } from "./lanes.ts";

/** So many look-ups at a time. */
const LOOK_UPS = 4;
/** One that failed after so long met a storage that is silent. What fails at once, as for a lost connection, holds up nobody. */
const SILENCE_MS = 1_000;

export class LookUps {
  readonly #clock: Clock;
  readonly #lanes = new Lanes(LOOK_UPS);
  /** How often storage was silent. */
  #silences = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Makes a look-up in its turn; or calls `unmade`, where storage was silent since it was asked for (U2). */
  inTurn(lookUp: () => Promise<void>, unmade: () => void): Promise<void> {
    const silencesBefore = this.#silences;
    return this.#lanes.take(async () => (this.#silences === silencesBefore ? lookUp() : unmade()));
  }

  /**
   * Makes a look-up, in its turn or out of turn, and notes whether storage was silent: those that wait for their turn go by that
   * (U2). Rejects with what the look-up rejects with.
   */
  async observed(lookUp: () => Promise<void>): Promise<void> {
    const askedAt = this.#clock.monotonic();
    try {
      await lookUp();
    } catch (error) {
      if (this.#clock.monotonic() - askedAt >= SILENCE_MS) this.#silences += 1;
      throw error;
    }
  }
}
