// ActivityStep: one activity of an execution, from its first attempt here to its outcome.
//
// Journals each failed attempt, so that no copy of the execution starts to count anew. One attempt is in
// activity-attempt.ts; what a step is, in execution.ts.

import { backoffMs } from "../clock/backoff.ts";
import { encodeError } from "../contract/error-codec.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { Attempt, type ActivitySettings, type AttemptBody } from "./activity-attempt.ts";
import type { Outcome } from "./journal.ts";
import type { Step, StepScope } from "./step.ts";

/** So far down the causes of an activity's error a failure of storage is looked for. */
const MAX_CAUSES = 8;

const NO_TRANSACTIONS =
  "the cluster's storage has no transactions for activities; configure one that has, such as Postgres";

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
    const { settings, body } = this.#activity;
    const { clock, until, ready, record, failed, isStopped, stop } = this.#scope;
    let failures = recorded?.failures.length ?? 0;
    let retryAt = recorded?.failures.at(-1)?.retryAt ?? 0;
    const heartbeat: Heartbeat = { details: recorded?.failures.at(-1)?.lastHeartbeat };
    for (;;) {
      if (retryAt > clock.now()) await until(retryAt, open);
      await ready();
      // The execution was cancelled: what has not begun does not begin any more.
      if (open.cutBy !== null) return void (await settle(failed(open.cutBy), null));
      open.hasBegun = true;
      const number = failures + 1;
      const attempt = this.#attempt(number, heartbeat);
      const outcome = await attempt.run(body);
      let error: unknown;
      if (outcome.type === "completed") {
        if (isStopped()) return rollBack(outcome.transaction);
        error = await this.#settle(outcome.value, outcome.transaction);
        if (error === undefined) return;
      } else {
        if (isStopped()) return;
        error = outcome.error;
        const ofStorage = this.#failureOfStorage(error, attempt.transactions);
        if (ofStorage !== null) return stop(ofStorage);
      }
      if (open.cutBy !== null) return void (await settle(failed(open.cutBy), null));
      const isFinal =
        number > settings.retries || settings.nonRetryable.some((errorClass) => error instanceof errorClass);
      if (isFinal) return void (await settle(failed(error), null));
      failures = number;
      retryAt = clock.now() + this.#pauseAfter(number);
      record(this.#step, {
        type: "attempt-failed",
        attempt: number,
        error: encodeError(error, this.#scope),
        retryAt,
        ...(heartbeat.details === undefined ? {} : { lastHeartbeat: heartbeat.details }),
      });
    }
  }

  #attempt(attempt: number, heartbeat: Heartbeat): Attempt {
    const { position, name, open } = this.#step;
    const { clock, beginTransaction, maxPayloadBytes, executionId, stopped, keyOf } = this.#scope;
    return new Attempt({
      clock,
      settings: this.#activity.settings,
      executionId,
      name,
      attempt,
      transactions: new TransactionScope(beginTransaction, NO_TRANSACTIONS),
      stopped,
      open,
      key: keyOf(position),
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
    });
  }

  /** Settles the step with a value. Resolves to why that could not be, which is a failure of the attempt, or undefined. */
  #settle(value: unknown, transaction: StorageTransaction | null): Promise<unknown> {
    let event: Outcome;
    try {
      event = this.#scope.completed(value, this.#step.name);
    } catch (error) {
      return rollBack(transaction).then(() => error);
    }
    return this.#step.settle(event, transaction);
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

/** Never rejects: if it cannot be rolled back, the connection is lost, and the transaction with it. */
async function rollBack(transaction: StorageTransaction | null): Promise<void> {
  await transaction?.rollback().catch(() => undefined);
}
