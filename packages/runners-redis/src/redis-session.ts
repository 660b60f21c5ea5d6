// RedisSession: one connection to Redis, with a bound on every call and faults as PersistenceError.
//
//   S1  Every call ends within `commandTimeout`, its tries included, and nothing is tried after that.
//   S2  What is called may be tried again blindly: each script finds its own earlier success. An earlier try may arrive
//       later than a later one, or after the call has failed.

import type { Random } from "@holdfast/core/adapter";
import { newConnection, type Connection } from "./connection.ts";
import { asError, failure, isPassing, isRefusal, LateError, reasonOf } from "./errors.ts";
import type { RedisSettings } from "./options.ts";
import { channelOf, keysOf } from "./scripts.ts";

const SHORTEST_TRY_MS = 50;
const PAUSE_MS = 20;

export class RedisSession {
  readonly channel: string;
  readonly pollIntervalMs: number;
  readonly #settings: RedisSettings;
  readonly #random: Random;
  readonly #keys: readonly string[];
  /** How long one try may take: a dead connection is not to take the time of a whole call. */
  readonly #tryMs: number;
  readonly #connection: Connection;
  /** Why there is no connection, if it is known. */
  #trouble: Error | null = null;
  /** Those who wait until there is a connection, or none to be had. */
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  constructor(settings: RedisSettings, random: Random) {
    this.channel = channelOf(settings.prefix);
    this.pollIntervalMs = settings.pollIntervalMs;
    this.#settings = settings;
    this.#random = random;
    this.#keys = keysOf(settings.prefix);
    this.#tryMs = Math.max(SHORTEST_TRY_MS, settings.commandTimeoutMs / 3);
    this.#connection = newConnection(settings, this.#tryMs, random);
    this.#connection.on("ready", () => {
      this.#trouble = null;
      this.#wake();
    });
    const noteTrouble = (error: Error): void => {
      this.#trouble = reasonOf(error);
      if (isRefusal(this.#trouble)) this.#wake();
    };
    this.#connection.on("error", noteTrouble);
    this.#connection.on("node error", noteTrouble);
    // What hinders it comes as an event, and it goes on trying.
    this.#connection.connect().catch(() => undefined);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** One more connection, for a watch: who subscribes may say nothing else. Its owner listens, connects and ends it. */
  newSubscriber(): Connection {
    return newConnection(this.#settings, this.#tryMs, this.#random);
  }

  /**
   * Runs a script, and again while it fails for lack of a connection and there is time (S1).
   *
   * @param kind whether it may have taken effect if it failed
   * @param values the script's arguments, made for each try when it is sent, from why the one before it failed
   * @throws {PersistenceError} Redis refused it, did not answer in time, or cannot be reached
   */
  async run(
    operation: string,
    kind: "read" | "write",
    script: string,
    values: (failed: Error | null) => readonly string[] = () => [],
  ): Promise<unknown> {
    const until = performance.now() + this.#settings.commandTimeoutMs;
    let failed: Error | null = null;
    let outcome: "not-written" | "unknown" = "not-written";
    for (;;) {
      await this.#untilReady(until - performance.now());
      if (this.#isClosed) throw failure(operation, outcome, new Error("the connection to Redis is closed"));
      const tryMs = Math.min(this.#tryMs, until - performance.now());
      if (this.#connection.status !== "ready" || tryMs <= 0)
        throw failure(operation, outcome, this.#whyNot());
      try {
        if (kind === "write") outcome = "unknown";
        const sent = [...this.#keys, this.channel, ...values(failed)];
        return await bounded(this.#connection.eval(script, this.#keys.length, ...sent), tryMs);
      } catch (thrown) {
        const error = reasonOf(asError(thrown));
        if (!isPassing(error) || performance.now() + PAUSE_MS >= until)
          throw failure(operation, outcome, error);
        failed = error;
      }
      await pause(PAUSE_MS);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.disconnect();
    this.#wake();
  }

  /** Resolves once there is a connection, or Redis lets nobody in, or the time is over. */
  async #untilReady(ms: number): Promise<void> {
    const isDecided = (): boolean =>
      this.#isClosed ||
      this.#connection.status === "ready" ||
      (this.#trouble !== null && isRefusal(this.#trouble));
    if (isDecided() || ms <= 0) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }

  #wake(): void {
    for (const end of this.#waiting) end();
  }

  #whyNot(): Error {
    return this.#trouble ?? new LateError(`no connection within ${this.#settings.commandTimeoutMs} ms`);
  }
}

async function bounded<Result>(work: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LateError(`no answer within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
