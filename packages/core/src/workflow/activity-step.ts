// ActivityStep: one activity of an execution, from its first attempt here to its outcome.
//
// Journals each failed attempt, so that no copy of the execution starts to count anew. One attempt is in
// activity-attempt.ts; what a step is, in execution.ts.

import { backoffMs } from "../clock/backoff.ts";
import { encodeError } from "../contract/error-codec.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { rollBack, TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { Attempt, type ActivitySettings, type AttemptBody } from "./activity-attempt.ts";
import type { Outcome } from "./journal.ts";
import type { Settle, Step, StepScope } from "./step.ts";

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
    const { open, recorded } = this.#step;
    const scope = this.#scope;
    const last = recorded?.failures.at(-1);
    const heartbeat: Heartbeat = { details: last?.lastHeartbeat };
    let number = (recorded?.failures.length ?? 0) + 1;
    let retryAt = last?.retryAt ?? 0;
    for (;;) {
      if (retryAt > scope.clock.now()) await scope.until(retryAt, open);
      await scope.ready();
      // The execution was cancelled: what has not begun does not begin any more.
      if (open.cutBy !== null) return void (await this.#fail(open.cutBy));
      open.hasBegun = true;
      const attempt = this.#attempt(number, heartbeat);
      const outcome = await attempt.run(this.#activity.body);
      let error: unknown;
      if (outcome.type === "completed") {
        if (scope.isStopped()) return rollBack(outcome.transaction);
        const settled = this.#settle(outcome.value, outcome.transaction);
        if (settled === undefined) return;
        error = await settled;
        if (error === undefined) return;
      } else {
        if (scope.isStopped()) return;
        error = outcome.error;
        const ofStorage = this.#failureOfStorage(error, attempt.transactions);
        if (ofStorage !== null) return scope.stop(ofStorage);
      }
      if (open.cutBy !== null) return void (await this.#fail(open.cutBy));
      if (this.#isFinal(error, number)) return void (await this.#fail(error));
      retryAt = scope.clock.now() + this.#pauseAfter(number);
      scope.record(this.#step, {
        type: "attempt-failed",
        attempt: number,
        error: encodeError(error, scope),
        retryAt,
        ...(heartbeat.details === undefined ? {} : { lastHeartbeat: heartbeat.details }),
      });
      number += 1;
    }
  }

  #fail(error: unknown): ReturnType<Settle> {
    return this.#step.settle(this.#scope.failed(error), null);
  }

  #isFinal(error: unknown, attempt: number): boolean {
    const { retries, nonRetryable } = this.#activity.settings;
    return attempt > retries || nonRetryable.some((errorClass) => error instanceof errorClass);
  }

  #attempt(attempt: number, heartbeat: Heartbeat): Attempt {
    const { position, name, open } = this.#step;
    const { clock, beginTransaction, maxPayloadBytes, executionId, stopped } = this.#scope;
    return new Attempt({
      clock,
      settings: this.#activity.settings,
      executionId,
      name,
      attempt,
      transactions: new TransactionScope(beginTransaction, NO_TRANSACTIONS),
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
    });
  }

  /** As the step's `settle`, with a value. Resolves also to why that has no outcome, which is a failure of the attempt. */
  #settle(value: unknown, transaction: StorageTransaction | null): Promise<unknown> | undefined {
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
