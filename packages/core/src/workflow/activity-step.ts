// ActivityStep: one activity of an execution, from its first attempt here to its outcome.
//
// Journals each failed attempt, so that no copy of the execution starts to count anew. One attempt is in
// activity-attempt.ts; what a step is, in execution.ts.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs } from "../clock/backoff.ts";
import { encodeError } from "../contract/error-codec.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { JournalEvent, StepKind } from "../data/journal-entry.ts";
import { FencedError, PersistenceError, type TransactionUnavailableError } from "../errors/storage.ts";
import { runAttempt, type ActivitySettings, type AttemptBody } from "./activity-attempt.ts";
import type { Outcome, RecordedStep } from "./journal.ts";

/** So far down the causes of an activity's error a failure of storage is looked for. */
const MAX_CAUSES = 8;

/**
 * Records a step's outcome and hands it to the code. Rejects where storage does. Resolves to the error of a transaction
 * that cannot commit, which makes a failed attempt of it.
 */
export type Settle = (
  event: Outcome,
  transaction: StorageTransaction | null,
) => Promise<TransactionUnavailableError | undefined>;

/** What is to be done. */
export interface ActivityOfStep {
  readonly position: number;
  readonly kind: "activity" | "run";
  readonly name: string;
  readonly settings: ActivitySettings;
  readonly body: AttemptBody;
}

/** What a step's attempts see of their execution. */
export interface ActivitySurroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly executionId: string;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  readonly fence: Fence;
  readonly beginTransaction: (() => StorageTransaction) | undefined;
  /** Aborted when the execution is over or has to leave. */
  readonly signal: AbortSignal;
  readonly isStopped: () => boolean;
  /** Ends this copy of the execution: storage refused, or failed. */
  readonly stop: (error: unknown) => void;
  /** Resolves when a side effect may start; never once the execution is over or has to leave. */
  readonly ready: () => Promise<void>;
  /** Resolves at a wall time. The execution may leave memory meanwhile. */
  readonly until: (at: number) => Promise<void>;
  readonly record: (position: number, kind: StepKind, name: string, event: JournalEvent) => void;
  /** The outcome of a step that came to this value. @throws {SerializationError} @throws {PayloadTooLargeError} */
  readonly completed: (value: unknown, name: string) => Outcome;
}

/** What an activity's attempts leave to the next one, encoded. */
interface Heartbeat {
  details: string | undefined;
}

export class ActivityStep {
  readonly #activity: ActivityOfStep;
  readonly #recorded: RecordedStep | undefined;
  readonly #surroundings: ActivitySurroundings;

  constructor(
    activity: ActivityOfStep,
    recorded: RecordedStep | undefined,
    surroundings: ActivitySurroundings,
  ) {
    this.#activity = activity;
    this.#recorded = recorded;
    this.#surroundings = surroundings;
  }

  /** Attempts it until it succeeds or may not be tried again, and settles it. Rejects where storage does. */
  async perform(settle: Settle): Promise<void> {
    const { position, kind, name, settings } = this.#activity;
    const { clock, exposeStacks, until, ready, record } = this.#surroundings;
    let failures = this.#recorded?.failures.length ?? 0;
    let retryAt = this.#recorded?.failures.at(-1)?.retryAt ?? 0;
    const heartbeat: Heartbeat = { details: this.#recorded?.failures.at(-1)?.lastHeartbeat };
    for (;;) {
      if (retryAt > clock.now()) await until(retryAt);
      await ready();
      const attempt = failures + 1;
      let outcome = await this.#attempt(attempt, heartbeat);
      if (outcome === "settled") return;
      if (outcome.type === "completed") {
        const refused = await settle(outcome.event, outcome.transaction);
        if (refused === undefined) return;
        outcome = { type: "failed", error: refused };
      }
      const isFinal =
        attempt > settings.retries ||
        settings.nonRetryable.some((errorClass) => outcome.error instanceof errorClass);
      const error = encodeError(outcome.error, { exposeStacks });
      if (isFinal) return void (await settle({ type: "failed", error }, null));
      failures = attempt;
      retryAt = clock.now() + this.#pauseAfter(attempt);
      const lastHeartbeat = heartbeat.details === undefined ? {} : { lastHeartbeat: heartbeat.details };
      record(position, kind, name, {
        type: "attempt-failed",
        attempt,
        error,
        retryAt,
        ...lastHeartbeat,
      });
    }
  }

  async #attempt(
    attempt: number,
    heartbeat: Heartbeat,
  ): Promise<
    | { readonly type: "completed"; readonly event: Outcome; readonly transaction: StorageTransaction | null }
    | { readonly type: "failed"; readonly error: unknown }
    | "settled"
  > {
    const { position, name, settings, body } = this.#activity;
    const { clock, beginTransaction, maxPayloadBytes, executionId, signal, isStopped, stop, completed } =
      this.#surroundings;
    const transactions = new TransactionScope(
      beginTransaction,
      "the cluster's storage has no transactions for activities; configure one that has, such as Postgres",
    );
    const outcome = await runAttempt(
      {
        clock,
        settings,
        executionId,
        position,
        name,
        attempt,
        transactions,
        signal,
        lastHeartbeat:
          heartbeat.details === undefined
            ? undefined
            : decodePayload(heartbeat.details, `The last heartbeat of ${name}`),
        heartbeat: (details) => {
          // Without any it only says that the attempt is alive.
          if (details === undefined) return;
          const what = `The details of a heartbeat of ${name}`;
          heartbeat.details = encodeBoundedPayload(details, what, maxPayloadBytes);
        },
      },
      body,
    );
    if (isStopped()) {
      if (outcome.type === "completed") await outcome.transaction?.rollback().catch(() => undefined);
      return "settled";
    }
    if (outcome.type === "failed") {
      const ofStorage = this.#failureOfStorage(outcome.error, transactions);
      if (ofStorage === null) return outcome;
      stop(ofStorage);
      return "settled";
    }
    try {
      return {
        type: "completed",
        event: completed(outcome.value, name),
        transaction: outcome.transaction,
      };
    } catch (error) {
      await outcome.transaction?.rollback().catch(() => undefined);
      return { type: "failed", error };
    }
  }

  /** A lost fence, and a storage that fails, are no failures of the activity: this copy of the execution is over. */
  #failureOfStorage(error: unknown, transactions: TransactionScope): FencedError | PersistenceError | null {
    // A query builder may have wrapped what the transaction threw.
    for (let at = error, depth = 0; at instanceof Error && depth < MAX_CAUSES; at = at.cause, depth += 1) {
      if (at instanceof FencedError && at.shardId === this.#surroundings.fence.shardId) return at;
      if (at instanceof PersistenceError && transactions.transaction !== undefined) return at;
    }
    return null;
  }

  #pauseAfter(attempt: number): number {
    const { backoff: kind, initialIntervalMs: initialMs, maxIntervalMs: maxMs } = this.#activity.settings;
    return backoffMs({ kind, initialMs, maxMs, jitter: 0 }, attempt, this.#surroundings.random);
  }
}
