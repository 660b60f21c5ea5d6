// OutcomeWriter: records how a persisted request ended: its reply, or that it is a dead letter.
//
//   W1  A write of unknown outcome is asked for again under the same id, never guessed: a reply without a transaction is
//       saved again, one with a transaction is looked up, and only if it is not there the handler runs again.
//   W2  After the shard moved nothing is recorded.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import { encodeError } from "../contract/error-codec.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { Reply } from "../data/reply.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import type { Counters } from "./counters.ts";
import { failedExit, type ErrorLimits } from "./failed-exit.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { Retries } from "./retries.ts";
import { MOVED, type RunResult } from "./run-result.ts";

export interface OutcomeWriterOptions extends ErrorLimits {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly retries: Retries;
}

export class OutcomeWriter {
  readonly #options: OutcomeWriterOptions;

  constructor(options: OutcomeWriterOptions) {
    this.#options = options;
  }

  /** Records a reply, in `transaction` if there is one. `not-recorded`: that did not commit. Never rejects. */
  async record(
    request: HostedRequest,
    reply: Reply,
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<RunResult | "not-recorded"> {
    const { messages, retries } = this.#options;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await retries.pause(request, failures);
      if (request.hasMoved()) return MOVED;
      try {
        // It may have been recorded, and taken back by a resumption, which this must not undo.
        if (transaction === null && failures > 0 && (await this.#isReopened(request))) return MOVED;
        if (transaction === null || failures === 0) {
          return { type: "answered", reply: await messages.saveReply(reply, fence, transaction) };
        }
        const [state] = await messages.lookUp([request.id]);
        return state?.state === "answered" ? { type: "answered", reply: state.reply } : "not-recorded";
      } catch (error) {
        if (error instanceof FencedError) return { type: "fenced" };
        const isStorages = error instanceof PersistenceError;
        if (!isStorages && (transaction !== null || reply.exit.ok)) {
          // The transaction itself cannot commit, for example after a statement in it failed: that is the handler's outcome.
          const exit = failedExit(request, error, this.#options);
          return this.record(request, { requestId: request.id, exit }, fence, null);
        }
        retries.warn(request, "A reply could not be recorded", error);
        if (transaction !== null && isStorages && error.outcome === "not-written") return "not-recorded";
        // Retention, or the execution that it was for, may have forgotten it: then nothing is left to record.
        if (await this.#isForgotten(request)) return MOVED;
      }
    }
  }

  /** Makes it a dead letter, with the error of its last attempt. Never rejects. */
  async bury(request: HostedRequest, fence: Fence, error: unknown): Promise<RunResult> {
    const { messages, clock, exposeStacks, counters, retries } = this.#options;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await retries.pause(request, failures);
      if (request.hasMoved()) return MOVED;
      try {
        await messages.saveDeadLetter(
          request.id,
          { error: encodeError(error, { exposeStacks }), attempts: request.attempts, deadSince: clock.now() },
          fence,
        );
        counters.deadLettered += 1;
        return { type: "dead", error, attempts: request.attempts };
      } catch (failure) {
        if (failure instanceof FencedError) return { type: "fenced" };
        retries.warn(request, "A dead letter could not be recorded", failure);
      }
    }
  }

  /** Whether it waits anew, without the attempts that were made here. @throws {PersistenceError} */
  async #isReopened(request: HostedRequest): Promise<boolean> {
    const [state] = await this.#options.messages.lookUp([request.id]);
    return state?.state === "pending" && state.attempts === 0 && request.attempts > 0;
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
