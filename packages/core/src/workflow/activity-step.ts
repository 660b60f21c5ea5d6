// ActivityStep: one activity of an execution, from its first attempt here to its outcome.
//
// Journals each failed attempt, so that no copy of the execution starts to count anew. One attempt is in
// activity-attempt.ts; what a step is, in execution.ts.

import { backoffMs } from "../clock/backoff.ts";
import { encodeError } from "../contract/error-codec.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { runAttempt, type ActivitySettings, type AttemptBody } from "./activity-attempt.ts";
import type { Outcome } from "./journal.ts";
import type { Step, StepScope } from "./step.ts";

/** So far down the causes of an activity's error a failure of storage is looked for. */
const MAX_CAUSES = 8;

/** How an activity is done. */
export interface ActivityOfStep {
  readonly settings: ActivitySettings;
  readonly body: AttemptBody;
}

/** What an activity's attempts leave to the next one, encoded. */
interface Heartbeat {
  details: string | undefined;
}

export class ActivityStep {
  readonly #step: Step;
  readonly #scope: StepScope;
  readonly #activity: ActivityOfStep;

  constructor(step: Step, scope: StepScope, activity: ActivityOfStep) {
    this.#step = step;
    this.#scope = scope;
    this.#activity = activity;
  }

  /** Attempts it until it succeeds or may not be tried again, and settles it. Rejects where storage does. */
  async perform(): Promise<void> {
    const { recorded, open, settle } = this.#step;
    const { settings } = this.#activity;
    const { clock, until, ready, record, failed } = this.#scope;
    let failures = recorded?.failures.length ?? 0;
    let retryAt = recorded?.failures.at(-1)?.retryAt ?? 0;
    const heartbeat: Heartbeat = { details: recorded?.failures.at(-1)?.lastHeartbeat };
    for (;;) {
      if (retryAt > clock.now()) await until(retryAt, open);
      await ready();
      // The execution was cancelled: what has not begun does not begin any more.
      if (open.cutBy !== null) return void (await settle(failed(open.cutBy), null));
      open.hasBegun = true;
      const attempt = failures + 1;
      let outcome = await this.#attempt(attempt, heartbeat);
      if (outcome === "settled") return;
      if (outcome.type === "completed") {
        const refused = await settle(outcome.event, outcome.transaction);
        if (refused === undefined) return;
        outcome = { type: "failed", error: refused };
      }
      const { error } = outcome;
      if (open.cutBy !== null) return void (await settle(failed(open.cutBy), null));
      const isFinal =
        attempt > settings.retries || settings.nonRetryable.some((errorClass) => error instanceof errorClass);
      if (isFinal) return void (await settle(failed(error), null));
      failures = attempt;
      retryAt = clock.now() + this.#pauseAfter(attempt);
      record(this.#step, {
        type: "attempt-failed",
        attempt,
        error: encodeError(error, this.#scope),
        retryAt,
        ...(heartbeat.details === undefined ? {} : { lastHeartbeat: heartbeat.details }),
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
    const { position, name, open } = this.#step;
    const { settings, body } = this.#activity;
    const { clock, beginTransaction, maxPayloadBytes, executionId, stopped, isStopped, stop, completed } =
      this.#scope;
    const transactions = new TransactionScope(
      beginTransaction,
      "the cluster's storage has no transactions for activities; configure one that has, such as Postgres",
    );
    const outcome = await runAttempt(
      {
        clock,
        settings,
        executionId,
        name,
        attempt,
        transactions,
        stopped,
        open,
        key: this.#scope.keyOf(position),
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
      if (at instanceof FencedError && at.shardId === this.#scope.fence.shardId) return at;
      if (at instanceof PersistenceError && transactions.transaction !== undefined) return at;
    }
    return null;
  }

  #pauseAfter(attempt: number): number {
    const { backoff: kind, initialIntervalMs: initialMs, maxIntervalMs: maxMs } = this.#activity.settings;
    return backoffMs({ kind, initialMs, maxMs, jitter: 0 }, attempt, this.#scope.random);
  }
}
