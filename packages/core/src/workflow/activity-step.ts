// ActivityStep: one activity of an execution, from its first attempt here to its outcome.
//
// Journals each failed attempt, so that no copy of the execution starts to count anew. One attempt is in
// activity-attempt.ts; what a step is, in execution.ts.

import { backoffMs, OWN_RETRIES } from "../clock/backoff.ts";
import { withCauses } from "../contract/thrown.ts";
import { isAnswer } from "../contract/answers.ts";
import {
  couldNotBegin,
  MOST_WITHOUT_TRANSACTION,
  rollBack,
  type StorageTransaction,
  type TransactionScope,
} from "../contract/transaction.ts";
import { DefinitionError } from "../errors/config.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { Attempt, type ActivitySettings, type AttemptBody, type Heartbeat } from "./activity-attempt.ts";
import type { Outcome } from "./journal.ts";
import type { Settle, Step, StepScope } from "./step.ts";

/** How an activity is done. */
export interface ActivityOfStep {
  readonly settings: ActivitySettings;
  readonly body: AttemptBody;
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
    let waits = 0;
    for (;;) {
      if (retryAt > scope.clock.now()) await scope.until(retryAt, open);
      await scope.ready();
      // The execution was cancelled: what has not begun does not begin any more.
      if (open.cutBy !== null) return void (await this.#fail(open.cutBy));
      open.hasBegun = true;
      const { settings } = this.#activity;
      const attempt = new Attempt(this.#step, scope, { settings, attempt: number + waits, heartbeat });
      const outcome = await attempt.run(this.#activity.body);
      let error: unknown;
      if (outcome.type === "completed") {
        const settled = this.#settle(outcome.value, outcome.transaction);
        if (settled === undefined) return;
        error = await settled;
        if (error === undefined) return;
      } else {
        if (scope.isStopped()) return;
        error = outcome.error;
        const ofStorage = this.#failureOfStorage(error, attempt.transactions);
        if (ofStorage !== null) {
          const { transaction = null } = attempt.transactions;
          if (waits >= MOST_WITHOUT_TRANSACTION || !couldNotBegin(error, transaction))
            return scope.stop(ofStorage);
          // Many that wait for few connections are at no fault: it does not count.
          scope.warn(`The activity ${this.#step.name} had no transaction and is repeated`, ofStorage);
          waits += 1;
          retryAt = scope.clock.now() + backoffMs(OWN_RETRIES, waits, scope.random);
          continue;
        }
      }
      if (open.cutBy !== null) return void (await this.#fail(open.cutBy));
      if (this.#isFinal(error, number)) return void (await this.#fail(error));
      retryAt = scope.clock.now() + this.#pauseAfter(number);
      scope.record(this.#step, {
        type: "attempt-failed",
        attempt: number,
        error: scope.encoded(error),
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
    // A mistake of the code's, such as a step of its execution that it asked for, is made again.
    return (
      attempt > retries ||
      error instanceof DefinitionError ||
      nonRetryable.some((errorClass) => error instanceof errorClass)
    );
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
    for (const at of withCauses(error)) {
      // What another handler answered with, and what caused that, is none of this activity's storage.
      if (isAnswer(at)) return null;
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
