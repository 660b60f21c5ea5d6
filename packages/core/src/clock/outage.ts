// Outage: what the log says of something that is tried again and again, and fails for as long as what it asks is away.
//
//   O1  The first failure is a warning. While it goes on there is another one each GOES_ON_MS at the most, which says how many
//       were left out since the last one. Once something else fails, that is told.
//   O2  The first success after a warning is told, once.
//   O3  What fails now and then is no flood either: between the warnings of two outages lie APART_MS. A second one that has gone
//       on until then is told then, and a shorter one in the number that the next warning left out.

import type { Clock } from "../adapter/clock.ts";
import type { LogFields, Logger } from "../contract/logger.ts";

const GOES_ON_MS = 30_000;
const APART_MS = 10_000;

export interface OutageOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is said once it is over. */
  readonly ended: string;
}

export class Outage {
  readonly #options: OutageOptions;
  /** Monotonic times of the first failure without a success since, and of the latest one. */
  #since: number | null = null;
  #lastAt = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #warnedOf = "";
  /** There was a warning, and no success since. */
  #isTold = false;
  #leftOut = 0;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** @param message what failed, and what happens now */
  failed(message: string, fields: LogFields): void {
    const now = this.#options.clock.monotonic();
    this.#lastAt = now;
    this.#since ??= now;
    const atLeastMs = this.#isTold ? GOES_ON_MS : APART_MS;
    if (message === this.#warnedOf && now - this.#warnedAt < atLeastMs) {
      this.#leftOut += 1;
      return;
    }
    this.#warnedAt = now;
    this.#warnedOf = message;
    this.#isTold = true;
    this.#options.logger.warn(message, { ...fields, ...this.#soFar(this.#since) });
  }

  succeeded(): void {
    if (this.#since === null) return;
    const since = this.#since;
    this.#since = null;
    if (!this.#isTold) return;
    this.#isTold = false;
    this.#options.logger.info(this.#options.ended, this.#soFar(since));
  }

  /** How long it has failed, and how many warnings were left out. */
  #soFar(since: number): LogFields {
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    const lastedMs = Math.round(this.#lastAt - since);
    return { ...(lastedMs > 0 && { lastedMs }), ...(leftOut > 0 && { leftOut }) };
  }
}
