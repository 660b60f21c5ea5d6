// One attempt to run an activity's body: its signal, its clocks, its transaction.

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
  heartbeat(details: unknown): void;
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

/**
 * Runs one attempt. Never rejects. A body that outlives its time-outs is left behind with its signal aborted and its
 * transaction rolled back.
 */
export async function runAttempt(options: AttemptOptions, body: AttemptBody): Promise<AttemptOutcome> {
  const { clock, settings, name, attempt, transactions } = options;
  if (options.stopped.isAborted) {
    transactions.close();
    return { type: "failed", error: options.stopped.reason };
  }
  const abort = new Abort();
  const first = Promise.withResolvers<AttemptOutcome>();
  let isOver = false;
  const end = (reason: unknown): void => {
    isOver = true;
    abort.abort(reason);
    first.resolve({ type: "failed", error: reason });
  };
  const stopHearing = options.stopped.whenAborted(() => end(options.stopped.reason));
  const stopAsking = options.open.whenCut((reason) => abort.abort(reason));
  const expire = (timeoutMs: number, kind: "timeout" | "heartbeat"): Timer =>
    clock.setTimer(timeoutMs, () =>
      end(new ActivityTimeoutError({ activity: name, attempt, timeoutMs, kind })),
    );
  const { timeoutMs, heartbeatTimeoutMs } = settings;
  const timeout = timeoutMs === null ? null : expire(timeoutMs, "timeout");
  let heartbeat = heartbeatTimeoutMs === null ? null : expire(heartbeatTimeoutMs, "heartbeat");

  const beat = (details: unknown): void => {
    // A body that was left behind has nothing to say to the next attempt.
    if (isOver) return;
    options.heartbeat(details);
    if (heartbeatTimeoutMs === null) return;
    heartbeat?.cancel();
    heartbeat = expire(heartbeatTimeoutMs, "heartbeat");
  };
  // Whichever is first. Promise.race would make three more promises of each attempt.
  void run(body, new Scope(options, abort, beat)).then(first.resolve);
  const outcome = await first.promise;
  isOver = true;
  timeout?.cancel();
  heartbeat?.cancel();
  stopHearing();
  stopAsking();
  transactions.close();
  const transaction = transactions.transaction ?? null;
  if (outcome.type === "completed") return { ...outcome, transaction };
  // A failure to roll back means that the connection is lost, and with it the transaction.
  await transaction?.rollback().catch(() => undefined);
  return outcome;
}

/** A class, and no literal with a getter: see live-property.ts. */
class Scope implements AttemptScope {
  readonly executionId: string;
  readonly name: string;
  readonly key: string;
  readonly attempt: number;
  readonly transactions: TransactionScope;
  readonly lastHeartbeat: unknown;
  readonly heartbeat: (details: unknown) => void;
  readonly #abort: Abort;

  constructor(options: AttemptOptions, abort: Abort, heartbeat: (details: unknown) => void) {
    this.executionId = options.executionId;
    this.name = options.name;
    this.key = options.key;
    this.attempt = options.attempt;
    this.transactions = options.transactions;
    this.lastHeartbeat = options.lastHeartbeat;
    this.heartbeat = heartbeat;
    this.#abort = abort;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }
}

async function run(body: AttemptBody, scope: AttemptScope): Promise<AttemptOutcome> {
  try {
    return { type: "completed", value: await body(scope), transaction: null };
  } catch (error) {
    return { type: "failed", error };
  }
}
