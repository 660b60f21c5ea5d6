// Attempt: one attempt to run an activity's body: its signal, its clocks, its transaction.

import type { Timer } from "../adapter/clock.ts";
import { Abort } from "../contract/abort.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { readable } from "../contract/thrown.ts";
import {
  noTransactionsFor,
  rollBack,
  TransactionScope,
  type StorageTransaction,
} from "../contract/transaction.ts";
import { ActivityTimeoutError } from "../errors/workflow.ts";
import { runBody } from "./activity-body.ts";
import type { Step, StepScope } from "./step.ts";

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

/** What an activity's attempts leave to the next one, encoded. */
export interface Heartbeat {
  details: string | undefined;
}

const NO_TRANSACTIONS = noTransactionsFor("activities");

export class Attempt implements AttemptScope {
  readonly attempt: number;
  readonly key: string;
  readonly transactions: TransactionScope;
  readonly lastHeartbeat: unknown;
  readonly #step: Pick<Step, "name" | "open">;
  readonly #scope: Pick<StepScope, "clock" | "executionId" | "stopped" | "maxPayloadBytes">;
  readonly #settings: ActivitySettings;
  readonly #heartbeat: Heartbeat;
  readonly #abort = new Abort();
  #isOver = false;
  #timeout: Timer | null = null;
  #heartbeatTimeout: Timer | null = null;
  #resolve: ((outcome: AttemptOutcome) => void) | null = null;

  constructor(
    step: Pick<Step, "place" | "name" | "open">,
    scope: Pick<
      StepScope,
      "clock" | "executionId" | "stopped" | "maxPayloadBytes" | "beginTransaction" | "keyOf"
    >,
    { settings, attempt, heartbeat }: { settings: ActivitySettings; attempt: number; heartbeat: Heartbeat },
  ) {
    this.#step = step;
    this.#scope = scope;
    this.#settings = settings;
    this.#heartbeat = heartbeat;
    this.attempt = attempt;
    this.key = scope.keyOf(step.place);
    this.transactions = new TransactionScope(scope.beginTransaction, NO_TRANSACTIONS);
    const { details } = heartbeat;
    this.lastHeartbeat =
      details === undefined ? undefined : decodePayload(details, () => `The last heartbeat of ${step.name}`);
  }

  get executionId(): string {
    return this.#scope.executionId;
  }

  get name(): string {
    return this.#step.name;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  readonly heartbeat = (details: unknown): void => {
    // A body that was left behind has nothing to say to the next attempt.
    if (this.#isOver) return;
    // Without any it only says that the attempt is alive.
    if (details !== undefined) {
      const what = `The details of a heartbeat of ${this.name}`;
      this.#heartbeat.details = encodeBoundedPayload(details, what, this.#scope.maxPayloadBytes);
    }
    this.#awaitHeartbeat();
  };

  /**
   * Runs the body, once. Never rejects. A body that outlives its time-outs is left behind with its signal aborted and its
   * transaction rolled back.
   */
  run(body: AttemptBody): Promise<AttemptOutcome> {
    const { stopped } = this.#scope;
    if (stopped.isAborted) return Promise.resolve({ type: "failed", error: stopped.reason });
    return new Promise((resolve) => {
      this.#resolve = resolve;
      stopped.whenAborted(this.#leaveBehind);
      this.#step.open.whenCut(this.#cut);
      const { timeoutMs } = this.#settings;
      if (timeoutMs !== null) this.#timeout = this.#expire(timeoutMs, "timeout");
      this.#awaitHeartbeat();
      this.#begin(body);
    });
  }

  #begin(body: AttemptBody): void {
    try {
      runBody(this.#scope, body, this).then(this.#completed, this.#failed);
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
      transaction: this.transactions.transaction ?? null,
    });
  };

  readonly #failed = (error: unknown): void => {
    if (this.#isOver) return;
    this.#end();
    this.#undo(readable(error));
  };

  /** Asks the body to end, which it is waited for: the execution was cancelled. */
  readonly #cut = (reason: unknown): void => this.#abort.abort(reason);

  /** The execution may not go on here. */
  readonly #leaveBehind = (reason: unknown): void => {
    if (this.#isOver) return;
    this.#end();
    this.#abort.abort(reason);
    this.#undo(reason);
  };

  #undo(reason: unknown): void {
    const { transaction } = this.transactions;
    const undone = (): void => this.#resolve?.({ type: "failed", error: reason });
    if (transaction === undefined) undone();
    else void rollBack(transaction).then(undone);
  }

  /** The first end counts: the body's own, a time-out, or the execution's. */
  #end(): void {
    this.#isOver = true;
    this.#timeout?.cancel();
    this.#heartbeatTimeout?.cancel();
    this.#scope.stopped.forget(this.#leaveBehind);
    this.#step.open.forget(this.#cut);
    this.transactions.close();
  }

  #awaitHeartbeat(): void {
    const { heartbeatTimeoutMs } = this.#settings;
    if (heartbeatTimeoutMs === null) return;
    this.#heartbeatTimeout?.cancel();
    this.#heartbeatTimeout = this.#expire(heartbeatTimeoutMs, "heartbeat");
  }

  #expire(timeoutMs: number, kind: "timeout" | "heartbeat"): Timer {
    const { name: activity, attempt, executionId } = this;
    return this.#scope.clock.setTimer(timeoutMs, () =>
      this.#leaveBehind(new ActivityTimeoutError({ activity, attempt, timeoutMs, kind, executionId })),
    );
  }
}
