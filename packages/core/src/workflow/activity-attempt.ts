// Attempt: one attempt to run an activity's body: its signal, its clocks, its transaction.

import type { Clock, Timer } from "../adapter/clock.ts";
import { Abort } from "../contract/abort.ts";
import { rollBack, type StorageTransaction, type TransactionScope } from "../contract/transaction.ts";
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
  #isOver = false;
  #timeout: Timer | null = null;
  #heartbeatTimeout: Timer | null = null;
  #stopHearing: (() => void) | null = null;
  #stopAsking: (() => void) | null = null;
  #resolve: ((outcome: AttemptOutcome) => void) | null = null;

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
  run(body: AttemptBody): Promise<AttemptOutcome> {
    const { stopped, open, settings, transactions } = this.#options;
    if (stopped.isAborted) {
      transactions.close();
      return Promise.resolve({ type: "failed", error: stopped.reason });
    }
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#stopHearing = stopped.whenAborted((reason) => this.#leaveBehind(reason));
      this.#stopAsking = open.whenCut((reason) => this.#abort.abort(reason));
      if (settings.timeoutMs !== null) this.#timeout = this.#expire(settings.timeoutMs, "timeout");
      this.#awaitHeartbeat();
      this.#begin(body);
    });
  }

  #begin(body: AttemptBody): void {
    try {
      Promise.resolve(body(this)).then(this.#completed, this.#failed);
    } catch (error) {
      this.#failed(error);
    }
  }

  readonly #completed = (value: unknown): void => {
    if (this.#isOver) return;
    this.#end();
    this.#resolve?.({
      type: "completed",
      value,
      transaction: this.#options.transactions.transaction ?? null,
    });
  };

  readonly #failed = (error: unknown): void => {
    if (this.#isOver) return;
    this.#end();
    this.#undo(error);
  };

  #leaveBehind(reason: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#abort.abort(reason);
    this.#undo(reason);
  }

  #undo(reason: unknown): void {
    const { transaction } = this.#options.transactions;
    const undone = (): void => this.#resolve?.({ type: "failed", error: reason });
    if (transaction === undefined) undone();
    else void rollBack(transaction).then(undone);
  }

  /** The first end counts: the body's own, a time-out, or the execution's. */
  #end(): void {
    this.#isOver = true;
    this.#timeout?.cancel();
    this.#heartbeatTimeout?.cancel();
    this.#stopHearing?.();
    this.#stopAsking?.();
    this.#options.transactions.close();
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
