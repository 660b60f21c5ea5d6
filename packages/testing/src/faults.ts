import {
  ConfigError,
  milliseconds,
  PersistenceError,
  type Clock,
  type Duration,
} from "@holdfast/core/adapter";
import type { SeededRandom } from "@holdfast/core/internal";

/** How often things go wrong: each a probability from 0 to 1, drawn anew for each message or storage call. */
export interface FaultOptions {
  /** A message between members is lost. */
  readonly drop?: number;
  /** A message between members arrives twice. */
  readonly duplicate?: number;
  /** How long a message between members takes, at least and at most. Messages may overtake each other. */
  readonly delay?: readonly [Duration, Duration];
  /**
   * How long a storage call takes on its way there, and again on its way back, at least and at most. What a runner sent
   * before it crashed lands all the same. Calls of one runner reach storage in their order; answers may overtake.
   */
  readonly storageDelay?: readonly [Duration, Duration];
  /** A storage call fails, and nothing was written. */
  readonly storageErrorBeforeCommit?: number;
  /** A storage call fails although it was written. */
  readonly storageErrorAfterCommit?: number;
}

/** Carries out one storage call of a runner, which may fail before or after it was carried out. */
export type StorageRoute = <Result>(operation: string, call: () => Promise<Result>) => Promise<Result>;

/** The faults in force. Draws from its own stream of chance. */
export class Faults {
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  #rates = { drop: 0, duplicate: 0, storageErrorBeforeCommit: 0, storageErrorAfterCommit: 0 };
  #delayMs: readonly [number, number] = [0, 0];
  #storageDelayMs: readonly [number, number] = [0, 0];

  constructor(random: SeededRandom, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
  }

  /** Replaces the faults in force; what is left out does not happen. @throws {ConfigError} */
  set(options: FaultOptions): void {
    const { delay, storageDelay, ...rates } = options;
    const [delayMs, storageDelayMs] = [
      range(delay, "faults.delay"),
      range(storageDelay, "faults.storageDelay"),
    ];
    const known = { drop: 0, duplicate: 0, storageErrorBeforeCommit: 0, storageErrorAfterCommit: 0 };
    for (const [name, rate] of Object.entries(rates)) {
      if (!Object.hasOwn(known, name))
        throw new ConfigError({
          option: `faults.${name}`,
          got: "given",
          takes: "nothing: there is no such fault",
        });
      if (!(rate >= 0 && rate <= 1))
        throw new ConfigError({ option: `faults.${name}`, got: rate, takes: "a probability from 0 to 1" });
    }
    this.#rates = { ...known, ...rates };
    this.#delayMs = delayMs;
    this.#storageDelayMs = storageDelayMs;
  }

  dropsMessage(): boolean {
    return this.#happens(this.#rates.drop);
  }

  duplicatesMessage(): boolean {
    return this.#happens(this.#rates.duplicate);
  }

  /** How long the next message takes, in milliseconds. */
  messageDelayMs(): number {
    return this.#draw(this.#delayMs);
  }

  /** The way to storage of one runner. */
  storageRoute(): StorageRoute {
    let lastArrival = 0;
    return async (operation, call) => {
      const failsBefore = this.#happens(this.#rates.storageErrorBeforeCommit);
      const failsAfter = !failsBefore && this.#happens(this.#rates.storageErrorAfterCommit);
      const [thereMs, backMs] = [this.#draw(this.#storageDelayMs), this.#draw(this.#storageDelayMs)];
      // None overtakes another on the way there: saves of one turn are accepted in the order of calls.
      lastArrival = Math.max(lastArrival, this.#clock.monotonic() + thereMs);
      await this.#until(lastArrival);
      if (failsBefore) {
        await this.#until(this.#clock.monotonic() + backMs);
        throw new PersistenceError({
          operation,
          outcome: "not-written",
          detail: "an injected fault, before the commit",
        });
      }
      const [outcome] = await Promise.allSettled([call()]);
      await this.#until(this.#clock.monotonic() + backMs);
      if (failsAfter)
        throw new PersistenceError({
          operation,
          outcome: "unknown",
          detail: "an injected fault, after the commit",
        });
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    };
  }

  async #until(at: number): Promise<void> {
    const delayMs = at - this.#clock.monotonic();
    if (delayMs > 0) await new Promise<void>((resolve) => void this.#clock.setTimer(delayMs, resolve));
  }

  #draw([least, most]: readonly [number, number]): number {
    return most === 0 ? 0 : least + Math.floor(this.#random.next() * (most - least + 1));
  }

  #happens(rate: number): boolean {
    return rate > 0 && this.#random.next() < rate;
  }
}

function range(given: readonly [Duration, Duration] | undefined, option: string): readonly [number, number] {
  if (given === undefined) return [0, 0];
  const [least, most] = [milliseconds(given[0], option), milliseconds(given[1], option)];
  if (least > most)
    throw new ConfigError({ option, got: `${least} to ${most} ms`, takes: "the shorter time first" });
  return [least, most];
}
