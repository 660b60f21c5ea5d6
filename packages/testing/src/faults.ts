import { ConfigError, milliseconds, PersistenceError, type Duration } from "@holdfast/core/adapter";
import type { SeededRandom } from "@holdfast/core/internal";

/** How often things go wrong: each a probability from 0 to 1, drawn anew for each message or storage call. */
export interface FaultOptions {
  /** A message between members is lost. */
  readonly drop?: number;
  /** A message between members arrives twice. */
  readonly duplicate?: number;
  /** How long a message between members takes, at least and at most. Messages may overtake each other. */
  readonly delay?: readonly [Duration, Duration];
  /** A storage call fails, and nothing was written. */
  readonly storageErrorBeforeCommit?: number;
  /** A storage call fails although it was written. */
  readonly storageErrorAfterCommit?: number;
}

/** The faults in force. Draws from its own stream of chance. */
export class Faults {
  readonly #random: SeededRandom;
  #rates = { drop: 0, duplicate: 0, storageErrorBeforeCommit: 0, storageErrorAfterCommit: 0 };
  #delayMs: readonly [number, number] = [0, 0];

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Replaces the faults in force; what is left out does not happen. @throws {ConfigError} */
  set(options: FaultOptions): void {
    const { delay = [0, 0], ...rates } = options;
    const [least, most] = [milliseconds(delay[0], "faults.delay"), milliseconds(delay[1], "faults.delay")];
    if (least > most) throw new ConfigError({ option: "faults.delay", got: `${least} to ${most} ms`, takes: "the shorter time first" });
    const known = { drop: 0, duplicate: 0, storageErrorBeforeCommit: 0, storageErrorAfterCommit: 0 };
    for (const [name, rate] of Object.entries(rates)) {
      if (!Object.hasOwn(known, name)) throw new ConfigError({ option: `faults.${name}`, got: "given", takes: "nothing: there is no such fault" });
      if (!(rate >= 0 && rate <= 1)) throw new ConfigError({ option: `faults.${name}`, got: rate, takes: "a probability from 0 to 1" });
    }
    this.#rates = { ...known, ...rates };
    this.#delayMs = [least, most];
  }

  dropsMessage(): boolean {
    return this.#happens(this.#rates.drop);
  }

  duplicatesMessage(): boolean {
    return this.#happens(this.#rates.duplicate);
  }

  /** How long the next message takes, in milliseconds. */
  messageDelayMs(): number {
    const [least, most] = this.#delayMs;
    return most === 0 ? 0 : least + Math.floor(this.#random.next() * (most - least + 1));
  }

  /** Runs a storage call, which may fail before or after it was carried out. */
  async store<Result>(operation: string, call: () => Promise<Result>): Promise<Result> {
    if (this.#happens(this.#rates.storageErrorBeforeCommit)) {
      throw new PersistenceError({ operation, outcome: "not-written", detail: "an injected fault, before the commit" });
    }
    const fails = this.#happens(this.#rates.storageErrorAfterCommit);
    const result = await call();
    if (fails) throw new PersistenceError({ operation, outcome: "unknown", detail: "an injected fault, after the commit" });
    return result;
  }

  #happens(rate: number): boolean {
    return rate > 0 && this.#random.next() < rate;
  }
}
