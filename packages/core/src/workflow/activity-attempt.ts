// Attempt: one attempt to run an activity's body: its signal, its clocks, its transaction.

import type { Clock, Timer } from "../adapter/clock.ts";
import { Abort } from "../contract/abort.ts";
import type { StorageTransaction, TransactionScope } from "../contract/transaction.ts";
import { ActivityTimeoutError } from "../errors/workflow.ts";
import type { OpenStep } from "./cancellation.ts";

/** How an activity is run. Durations in milliseconds. */
export interface ActivitySettings {
  /** Attempts after the first. */
  readonly retries: number;
  readonly backoff: "exponential" | "constant";
  readonly initialIntervalMs: number;
  readonly maxIntervalMs: number;
  /** From the start of an attempt to its end; null: no bound. */
  readonly timeoutMs: number | null;
  /** From the start, or one heartbeat, to the next; null: none is awaited. */
  readonly heartbeatTimeoutMs: number | null;
  /** Errors of these classes are final at the first attempt. */
  readonly nonRetryable: readonly (abstract new (...args: never[]) => Error)[];
}

export const DEFAULT_ACTIVITY_SETTINGS: ActivitySettings = {
  retries: 0,
  backoff: "exponential",
  initialIntervalMs: 1_000,
  maxIntervalMs: 60_000,
  timeoutMs: null,
  heartbeatTimeoutMs: null,
  nonRetryable: [],
};

/** What an attempt's body is given. */
export interface AttemptScope {
  readonly executionId: string;
  readonly name: string;
  /** Names the step, the same for every attempt. */
  readonly key: string;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly transactions: TransactionScope;
  /** Says that the attempt is alive, and leaves `details` to the next one. */
  readonly heartbeat: (details: unknown) => void;
  readonly lastHeartbeat: unknown;
}

export type AttemptBody = (scope: AttemptScope) => unknown;

export type AttemptOutcome =
  | { readonly type: "completed"; readonly value: unknown; readonly transaction: StorageTransaction | null }
  | { readonly type: "failed"; readonly error: unknown };

export interface AttemptOptions {
  readonly clock: Clock;
  readonly settings: ActivitySettings;
  readonly executionId: string;
  readonly name: string;
  readonly key: string;
  readonly attempt: number;
  readonly transactions: TransactionScope;
  /** Aborted when the execution may not go on here. */
  readonly stopped: Abort;
  /** Asks the body to end, which it is waited for: the execution was cancelled. */
  readonly open: Pick<OpenStep, "whenCut">;
  readonly lastHeartbeat: unknown;
  readonly heartbeat: (details: unknown) => void;
}

export class Attempt implements AttemptScope {
  readonly #options: AttemptOptions;
  readonly #abort = new Abort();
  readonly #ended = Promise.withResolvers<AttemptOutcome>();
  #isOver = false;
  #heartbeatTimeout: Timer | null = null;

  readonly heartbeat = (details: unknown): void => {
    // A body that was left behind has nothing to say to the next attempt.
    if (this.#isOver) return;
    this.#options.heartbeat(details);
    this.#awaitHeartbeat();
  };

  constructor(options: AttemptOptions) {
    this.#options = options;
  }

  get executionId(): string {
    return this.#options.executionId;
  }

  get name(): string {
    return this.#options.name;
  }

  get key(): string {
    return this.#options.key;
  }

  get attempt(): number {
    return this.#options.attempt;
  }

  get transactions(): TransactionScope {
    return this.#options.transactions;
  }

  get lastHeartbeat(): unknown {
    return this.#options.lastHeartbeat;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Runs the body, once. Never rejects. A body that outlives its time-outs is left behind with its signal aborted and its
   * transaction rolled back.
   */
  async run(body: AttemptBody): Promise<AttemptOutcome> {
    const { stopped, open, settings, transactions } = this.#options;
    if (stopped.isAborted) {
      transactions.close();
      return { type: "failed", error: stopped.reason };
    }
    const stopHearing = stopped.whenAborted(() => this.#leaveBehind(stopped.reason));
    const stopAsking = open.whenCut((reason) => this.#abort.abort(reason));
    const timeout = settings.timeoutMs === null ? null : this.#expire(settings.timeoutMs, "timeout");
    this.#awaitHeartbeat();
    this.#begin(body);
    const outcome = await this.#ended.promise;
    this.#isOver = true;
    timeout?.cancel();
    this.#heartbeatTimeout?.cancel();
    stopHearing();
    stopAsking();
    transactions.close();
    const transaction = transactions.transaction ?? null;
    if (outcome.type === "completed") return { ...outcome, transaction };
    // A failure to roll back means that the connection is lost, and with it the transaction.
    if (transaction !== null) await transaction.rollback().catch(() => undefined);
    return outcome;
  }

  /** Its end is the attempt's, unless that had another one first. Promise.race would make three more promises of each. */
  #begin(body: AttemptBody): void {
    const { resolve } = this.#ended;
    const failed = (error: unknown): void => resolve({ type: "failed", error });
    try {
      Promise.resolve(body(this)).then(
        (value) => resolve({ type: "completed", value, transaction: null }),
        failed,
      );
    } catch (error) {
      failed(error);
    }
  }

  #leaveBehind(reason: unknown): void {
    this.#isOver = true;
    this.#abort.abort(reason);
    this.#ended.resolve({ type: "failed", error: reason });
  }

  #awaitHeartbeat(): void {
    const { heartbeatTimeoutMs } = this.#options.settings;
    if (heartbeatTimeoutMs === null) return;
    this.#heartbeatTimeout?.cancel();
    this.#heartbeatTimeout = this.#expire(heartbeatTimeoutMs, "heartbeat");
  }

  #expire(timeoutMs: number, kind: "timeout" | "heartbeat"): Timer {
    const { clock, name, attempt } = this.#options;
    return clock.setTimer(timeoutMs, () =>
      this.#leaveBehind(new ActivityTimeoutError({ activity: name, attempt, timeoutMs, kind })),
    );
  }
}
