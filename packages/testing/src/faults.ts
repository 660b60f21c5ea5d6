import {
  ConfigError,
  milliseconds,
  PersistenceError,
  type Clock,
  type Duration,
} from "@holdfast/core/adapter";
import type { SeededRandom } from "@holdfast/core/internal";
import { settled } from "./settled.ts";

/** How often things go wrong: each a probability from 0 to 1, drawn anew for each message or call of a backend. */
export interface FaultOptions extends BackendFaultOptions {
  /** A message between members is lost. */
  readonly drop?: number;
  /** A message between members arrives twice. */
  readonly duplicate?: number;
  /** How long a message between members takes, at least and at most. Messages may overtake each other. */
  readonly delay?: readonly [Duration, Duration];
}

/** What goes wrong between runners and their storage or lease store. 1 as a probability cuts a runner off. */
export interface BackendFaultOptions {
  /**
   * How long a storage call takes on its way there, and again on its way back, at least and at most. What a runner sent
   * before it crashed lands all the same. Calls of one runner reach storage in their order; answers may overtake.
   */
  readonly storageDelay?: readonly [Duration, Duration];
  /** A storage call fails, and nothing was written. */
  readonly storageErrorBeforeCommit?: number;
  /** A storage call fails although it was written. */
  readonly storageErrorAfterCommit?: number;
  /** How long a call of the lease store takes on its way there, and again on its way back, at least and at most. */
  readonly leaseDelay?: readonly [Duration, Duration];
  /** A call of the lease store fails, and has no effect. */
  readonly leaseErrorBeforeEffect?: number;
  /** A call of the lease store fails although it had its effect. */
  readonly leaseErrorAfterEffect?: number;
}

/** Carries out one call of a backend by a runner, which may fail before or after it was carried out. */
export type BackendRoute = <Result>(operation: string, call: () => Promise<Result>) => Promise<Result>;

/** Is told of each call of a backend as it comes back. */
export type TracedCall = (
  operation: string,
  outcome: "done" | "failed before" | "failed after" | "refused",
) => void;

/** The faults of one way: to a backend and back. */
interface RouteFaults {
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly delayMs: readonly [number, number];
}

/** A backend carries these out beside its writes, on another connection. */
const READS: ReadonlySet<string> = new Set([
  "lookUp",
  "lookUpByKey",
  "readPending",
  "readChunks",
  "readExecution",
  "listDeadLetters",
  "listExecutions",
  "listRunners",
]);

const NO_RATES = {
  drop: 0,
  duplicate: 0,
  storageErrorBeforeCommit: 0,
  storageErrorAfterCommit: 0,
  leaseErrorBeforeEffect: 0,
  leaseErrorAfterEffect: 0,
};

const OF_MESSAGES: ReadonlySet<string> = new Set(["drop", "duplicate", "delay"]);

/** The faults in force. Draws from its own stream of chance. */
export class Faults {
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  #rates = NO_RATES;
  #delayMs: readonly [number, number] = [0, 0];
  #storageDelayMs: readonly [number, number] = [0, 0];
  #leaseDelayMs: readonly [number, number] = [0, 0];

  constructor(random: SeededRandom, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
  }

  /** @throws {ConfigError} some of these are no faults of backends */
  static checkBackendFaults(options: BackendFaultOptions): void {
    checkFaults(options);
    const found = Object.keys(options).find((name) => OF_MESSAGES.has(name));
    if (found === undefined) return;
    throw new ConfigError({
      option: `faults.${found}`,
      got: "given for single runners",
      takes: "all runners: call faults() without a list of runners for it",
    });
  }

  /** Replaces the faults in force; what is left out does not happen. @throws {ConfigError} */
  set(options: FaultOptions): void {
    checkFaults(options);
    const { delay, storageDelay, leaseDelay, ...given } = options;
    const [delayMs, storageDelayMs, leaseDelayMs] = [
      range(delay, "faults.delay"),
      range(storageDelay, "faults.storageDelay"),
      range(leaseDelay, "faults.leaseDelay"),
    ];
    // As everywhere, what is given as undefined is left out.
    const rates = Object.fromEntries(Object.entries(given).filter(([, rate]) => rate !== undefined));
    for (const [name, rate] of Object.entries(rates)) {
      if (!Object.hasOwn(NO_RATES, name))
        throw new ConfigError({
          option: `faults.${name}`,
          got: "given",
          takes: "nothing: there is no such fault",
        });
      if (!(typeof rate === "number" && rate >= 0 && rate <= 1))
        throw new ConfigError({ option: `faults.${name}`, got: rate, takes: "a probability from 0 to 1" });
    }
    this.#rates = { ...NO_RATES, ...rates };
    this.#delayMs = delayMs;
    this.#storageDelayMs = storageDelayMs;
    this.#leaseDelayMs = leaseDelayMs;
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
  storageRoute(traced: TracedCall = () => undefined): BackendRoute {
    return this.#route(traced, () => ({
      errorBefore: this.#rates.storageErrorBeforeCommit,
      errorAfter: this.#rates.storageErrorAfterCommit,
      delayMs: this.#storageDelayMs,
    }));
  }

  /** The way to the lease store of one runner. */
  leaseRoute(traced: TracedCall = () => undefined): BackendRoute {
    return this.#route(traced, () => ({
      errorBefore: this.#rates.leaseErrorBeforeEffect,
      errorAfter: this.#rates.leaseErrorAfterEffect,
      delayMs: this.#leaseDelayMs,
    }));
  }

  #route(traced: TracedCall, current: () => RouteFaults): BackendRoute {
    // By the lines in which storage keeps the order: requests to accept, and all other writes.
    const lastArrivals = { saves: 0, others: 0 };
    return async (operation, call) => {
      const { errorBefore, errorAfter, delayMs } = current();
      const failsBefore = this.#happens(errorBefore);
      const failsAfter = !failsBefore && this.#happens(errorAfter);
      const [thereMs, backMs] = [this.#draw(delayMs), this.#draw(delayMs)];
      const arrival = this.#clock.monotonic() + thereMs;
      // No write overtakes another of its line on the way there: saves of one turn are accepted in the order of calls.
      const line = operation === "saveRequest" ? "saves" : "others";
      if (!READS.has(operation)) lastArrivals[line] = Math.max(lastArrivals[line], arrival);
      await this.#until(READS.has(operation) ? arrival : lastArrivals[line]);
      if (failsBefore) {
        await this.#until(this.#clock.monotonic() + backMs);
        traced(operation, "failed before");
        throw new PersistenceError({
          operation,
          outcome: "not-written",
          detail: "an injected fault, before it took effect",
        });
      }
      const outcome = await settled(call());
      await this.#until(this.#clock.monotonic() + backMs);
      traced(operation, failsAfter ? "failed after" : outcome.status === "rejected" ? "refused" : "done");
      if (failsAfter)
        throw new PersistenceError({
          operation,
          outcome: "unknown",
          detail: "an injected fault, after it took effect",
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

function checkFaults(options: unknown): void {
  if (typeof options === "object" && options !== null) return;
  throw new ConfigError({
    option: "faults",
    got: options,
    takes: "an object: what goes wrong, and how often",
    hint: "{} ends all faults.",
  });
}

function range(given: readonly [Duration, Duration] | undefined, option: string): readonly [number, number] {
  if (given === undefined) return [0, 0];
  if (!Array.isArray(given) || given.length !== 2)
    throw new ConfigError({ option, got: given, takes: "two durations, at least and at most" });
  const [least, most] = [milliseconds(given[0], option), milliseconds(given[1], option)];
  if (least > most)
    throw new ConfigError({ option, got: `${least} to ${most} ms`, takes: "the shorter time first" });
  return [least, most];
}
