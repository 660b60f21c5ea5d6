// OutcomeWriter: records how a persisted request ended: its reply, or that it is a dead letter. Of one that runs ahead of that
// it first records that it is accepted, together with its reply if that is there by then.
//
//   W1  A write of unknown outcome is asked for again under the same id, never guessed: a reply without a transaction is
//       saved again, one with a transaction is looked up, and only if it is not there the handler runs again.
//   W2  After the shard moved nothing is recorded.
//   W3  What a reply followed from is in storage before the reply is recorded anew: both may have failed together.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import { encodeBoundedError, type ErrorLimits } from "../contract/bounded-error.ts";
import { isRetryable } from "../contract/retryable.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import { describeCall } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError, PersistenceError, TransactionUnavailableError } from "../errors/storage.ts";
import { endOf } from "./answers.ts";
import type { Counters } from "./counters.ts";
import { failedExit } from "./failed-exit.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { Retries } from "./retries.ts";
import { FORGOTTEN, MOVED, REOPENED, type RunResult } from "./run-result.ts";

export interface OutcomeWriterOptions extends ErrorLimits {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly retries: Retries;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  /** A reply of this shard is recorded, and what it followed from will be once this resolves: the shard is not to move before. */
  readonly paying: (fence: Fence, paid: Promise<void>) => void;
}

/** Tries, with ten seconds of pauses between them, after which those who wait for a request that runs ahead are told that it could not be stored. */
const MOST_TRIES = 12;

/** A transaction did not commit. */
export interface NotRecorded {
  readonly type: "not-recorded";
  /** Why. */
  readonly error: unknown;
}

export class OutcomeWriter {
  readonly #options: OutcomeWriterOptions;

  constructor(options: OutcomeWriterOptions) {
    this.#options = options;
  }

  /**
   * Stores a request that runs already, and with it the reply that it has by then. Its handler is not to run again for what
   * storage needs another try for. Null: it is accepted, and has no reply. Never rejects.
   */
  async accept(request: HostedRequest, fence: Fence): Promise<RunResult | null> {
    const { messages, counters, retries } = this.#options;
    const ready = (): Reply | null => (request.hasMoved() ? null : request.ready);
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await retries.rest(failures);
      if (request.hasMoved()) return MOVED;
      try {
        const saved = await messages.saveRequest(request.envelope, request.attempts, fence, ready);
        if (saved.outcome === "duplicate") {
          counters.duplicates += 1;
          // What is there under its id is this request, from a try whose outcome was unknown, or from its sender.
          const { existing } = saved;
          if (existing.state !== "pending")
            return { type: "answered", reply: endOf(existing, request.envelope) };
          if (request.hasMoved()) return MOVED;
          // Its sender recorded no attempt. With none it would be taken for one that waits anew, where its reply fails at first.
          if (existing.attempts < request.attempts)
            await messages.recordAttempt(request.id, request.attempts, fence);
        }
        if (saved.outcome === "accepted") counters.accepted += 1;
        request.sequence = saved.sequence;
        request.isAccepted = true;
        const isAnswered = saved.outcome === "accepted" && saved.isAnswered === true;
        return isAnswered && request.ready !== null ? { type: "answered", reply: request.ready } : null;
      } catch (error) {
        // It may be back, under another epoch.
        if (request.hasMoved()) return MOVED;
        if (error instanceof FencedError) {
          // At once: its handler may run for long.
          this.#options.fenced(fence.shardId);
          return MOVED;
        }
        const isStorages = error instanceof PersistenceError;
        if (!isStorages || failures + 1 >= MOST_TRIES) {
          retries.warn(request, "A request that runs could not be stored, and is not tried again", error);
          return { type: "unstored", detail: isStorages ? error.detail : "the storage failed" };
        }
        const level = failures === 0 ? "warn" : "debug";
        retries.log(level, request, "A request that runs could not be stored", error);
      }
    }
  }

  /** Records a reply, in `transaction` if there is one, and then it is no failure. Never rejects. */
  async record(
    request: HostedRequest,
    reply: Reply,
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<RunResult | NotRecorded> {
    const { messages, retries } = this.#options;
    let lostWith: unknown = null;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await retries.pause(request, failures);
      if (request.hasMoved()) return MOVED;
      try {
        // It may have been recorded, and taken back by a resumption, which this must not undo.
        if (transaction === null && failures > 0 && (await this.#waitsAnew(request, 0))) return REOPENED;
        if (failures > 0) await request.owed?.();
        if (transaction === null || failures === 0) {
          const recorded = await messages.saveReply(reply, fence, transaction);
          if (request.owed !== null && failures === 0)
            this.#options.paying(fence, this.#payLate(request.owed, request));
          return { type: "answered", reply: recorded };
        }
        // A commit of which nobody heard may still be under way, and holds the request: what changes nothing waits for its end.
        await messages.recordAttempt(request.id, request.attempts, fence);
        const [state] = await messages.lookUp([request.id]);
        // A commit that waited for longer than replies are kept is forgotten as soon as it is seen.
        if (state === undefined) return FORGOTTEN;
        return state.state === "answered"
          ? { type: "answered", reply: state.reply }
          : { type: "not-recorded", error: notCommitted(lostWith) };
      } catch (error) {
        if (error instanceof FencedError) return { type: "fenced" };
        const isStorages = error instanceof PersistenceError;
        if (transaction !== null && mayCommitNextTime(error)) {
          retries.warn(request, "A transaction could not commit", error);
          return { type: "not-recorded", error };
        }
        if (!isStorages && reply.exit.ok) {
          // What cannot be kept, as where a statement in its transaction failed, is the handler's outcome.
          const exit = failedExit(request, error, this.#options);
          return this.record(request, { requestId: request.id, exit }, fence, null);
        }
        const level = retries.isSparse(failures) ? "warn" : "debug";
        retries.log(level, request, "A reply could not be recorded", error);
        // What it fails with after the first time is only that it cannot be asked.
        if (failures === 0) {
          if (transaction !== null && isStorages && error.outcome === "not-written")
            return { type: "not-recorded", error };
          lostWith = error;
        }
        // Retention, or the execution that it was for, may have forgotten it: then nothing is left to record.
        if (await this.#isForgotten(request)) return FORGOTTEN;
      }
    }
  }

  /** Where the reply alone was recorded. Best effort: the reply is there, stays, and waits for nothing. Never rejects. */
  async #payLate(owed: () => Promise<void>, request: HostedRequest): Promise<void> {
    try {
      await owed();
    } catch (error) {
      this.#options.retries.warn(request, "What a reply followed from could not be recorded", error);
    }
  }

  /** Makes it a dead letter, with the error of its last attempt. Never rejects. */
  async bury(request: HostedRequest, fence: Fence, error: unknown): Promise<RunResult> {
    const { messages, clock, counters, retries } = this.#options;
    const what = { name: () => `The error of ${describeCall(request.envelope)}`, purpose: "keep" };
    const encoded = encodeBoundedError(error, this.#options, what);
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await retries.pause(request, failures);
      if (request.hasMoved()) return MOVED;
      try {
        // It may be one already, and requeued.
        if (failures > 0 && (await this.#waitsAnew(request, request.attempts - 1))) return REOPENED;
        await messages.saveDeadLetter(
          request.id,
          { error: encoded, attempts: request.attempts, deadSince: clock.now() },
          fence,
        );
        counters.deadLettered += 1;
        retries.warn(
          request,
          "A request is a dead letter now: it is kept until it is requeued or dropped",
          error,
        );
        return { type: "dead", error, attempts: request.attempts };
      } catch (failure) {
        if (failure instanceof FencedError) return { type: "fenced" };
        const level = retries.isSparse(failures) ? "warn" : "debug";
        retries.log(level, request, "A dead letter could not be recorded", failure);
      }
    }
  }

  /** Whether it waits anew, with so many attempts at most: fewer than were made here. @throws {PersistenceError} */
  async #waitsAnew(request: HostedRequest, mostAttempts: number): Promise<boolean> {
    const [state] = await this.#options.messages.lookUp([request.id]);
    return state?.state === "pending" && state.attempts <= mostAttempts;
  }

  /** Whether storage surely knows nothing of it any more. */
  async #isForgotten(request: HostedRequest): Promise<boolean> {
    try {
      return (await this.#options.messages.lookUp([request.id])).length === 0;
    } catch {
      return false;
    }
  }
}

function notCommitted(cause: unknown): PersistenceError {
  return new PersistenceError(
    { operation: "saveReply", outcome: "not-written", detail: "the transaction did not commit" },
    { cause },
  );
}

/** Whether a transaction could not commit for being in another one's way: the attempt is repeated, as after a statement that was. */
function mayCommitNextTime(error: unknown): boolean {
  return error instanceof TransactionUnavailableError && isRetryable(error.cause);
}
