// RequestRunner: takes one accepted request to its end: attempts, outcome, record.
//
//   R1  No answer to a persisted request leaves before its record is durable (the caller of `run` answers, with what
//       `run` returns).
//   R2  A write of unknown outcome is asked for again under the same id, never guessed: a reply without a transaction is
//       saved again, one with a transaction is looked up, and only if it is not there the handler runs again.
//   R3  After the shard moved nothing is recorded, the transaction is rolled back, and nobody waits for the handler.
//   R4  No handler begins unless the lease is held at that very moment. A process that stood still while it awaited leaves
//       the request to the shard's next owner; those who wait for it are told when its own shards are dropped, and who waits
//       for a volatile one at once.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs, type Backoff } from "../clock/backoff.ts";
import type { AbortWatch } from "../contract/abort.ts";
import { encodeError, isRetryable } from "../contract/error-codec.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import type { Logger } from "../contract/logger.ts";
import { parseWhat } from "../contract/schema.ts";
import { TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import { entityKey } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Exit, Reply } from "../data/reply.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { InterruptedError, UnknownRpcError } from "../errors/routing.ts";
import { FencedError, PersistenceError, SerializationError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import { describeCall } from "./answers.ts";
import { Suspension, type Call, type Handler, type Handlers } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { ChunkWindow } from "./stream.ts";

export interface RequestRunnerOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counters: Counters;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  /** Attempts after the first before a persisted request becomes a dead letter. */
  readonly maxRetries: number;
  /** Whether this runner's lease is held at this moment. Once it is not, all its shards are dropped soon. */
  readonly leaseIsHeld: () => boolean;
  /** Sends to all who wait for this request. */
  readonly tell: (request: HostedRequest, message: WireMessage) => void;
}

export type RunResult =
  | { readonly type: "answered"; readonly reply: Reply }
  | { readonly type: "dead"; readonly error: unknown; readonly attempts: number }
  | { readonly type: "suspended"; readonly suspension: Suspension }
  /** Nothing was recorded, and this runner may not go on. */
  | { readonly type: "moved" }
  | { readonly type: "fenced" };

type Attempt =
  | { readonly type: "exit"; readonly exit: Exit }
  | { readonly type: "threw"; readonly error: unknown }
  | Exclude<RunResult, { type: "answered" | "dead" }>;

/** A consumer says how far it is every 2 s: one that says nothing for so long does not read any more. */
const CONSUMER_SILENT_MS = 10_000;

/** The pauses between attempts, and between tries of a write that fails. */
const BACKOFF: Backoff = { kind: "exponential", initialMs: 100, maxMs: 10_000, jitter: 0 };

const MOVED = { type: "moved" } as const;

/** The scope of all handlers of volatile requests: nobody opens a transaction in it. */
const NO_TRANSACTIONS = new TransactionScope(
  undefined,
  "the rpc is not persisted, so there is no record to commit with; set persisted: true",
);

const NOT_TRANSACTIONAL =
  "the cluster's storage has no transactions for handlers; configure one that has, such as Postgres";

export class RequestRunner {
  readonly #options: RequestRunnerOptions;
  readonly #begin: (() => StorageTransaction) | undefined;

  constructor(options: RequestRunnerOptions) {
    this.#options = options;
    this.#begin = options.messages.beginTransaction?.bind(options.messages);
  }

  /** Neither rejects nor throws. No promise for what is volatile and ends at once. */
  run(request: HostedRequest, activation: Activation): RunResult | Promise<RunResult> {
    return request.envelope.persisted
      ? this.#runRecorded(request, activation)
      : this.#runOnce(request, activation);
  }

  /** A volatile request has one attempt, of which nothing is recorded. */
  #runOnce(request: HostedRequest, activation: Activation): RunResult | Promise<RunResult> {
    if (request.hasMoved() || !this.#options.leaseIsHeld()) return MOVED;
    // Also once the shard moved: there is nothing to roll back, and those who wait for it are told by then.
    return this.#attempt(request, activation, NO_TRANSACTIONS, this.#answered);
  }

  /** What a volatile request's attempt comes to. */
  readonly #answered = (attempt: Attempt, request: HostedRequest): RunResult => {
    if (request.hasMoved()) return MOVED;
    if (attempt.type !== "exit" && attempt.type !== "threw") return attempt;
    const exit = attempt.type === "exit" ? attempt.exit : this.#failureOf(request, attempt.error);
    return { type: "answered", reply: { requestId: request.id, exit } };
  };

  /** Attempts it until its outcome is recorded, or it is buried. */
  async #runRecorded(request: HostedRequest, activation: Activation): Promise<RunResult> {
    const { fence } = activation;
    let lastError: unknown = null;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) {
        this.#options.counters.retried += 1;
        await this.#backOff(request, failures);
      }
      if (request.hasMoved()) return MOVED;
      if (!request.attemptIsRecorded) {
        // The one that only tells that it was begun is no failure.
        const begun = activation.behavior.countsCutAttempt === true ? 1 : 0;
        if (request.attempts > Math.max(begun, this.#options.maxRetries))
          return this.#bury(request, fence, lastError ?? neverEnded(request));
        try {
          await this.#options.messages.recordAttempt(request.id, request.attempts + 1, fence);
        } catch (error) {
          if (error instanceof FencedError) return { type: "fenced" };
          // It does not count as an attempt: nothing of the user's has run.
          this.#warn(request, "An attempt could not be recorded", error);
          continue;
        }
        request.attempts += 1;
      }
      request.attemptIsRecorded = false;
      if (!this.#options.leaseIsHeld()) return MOVED;
      const transactions = new TransactionScope(this.#begin, NOT_TRANSACTIONAL);
      const attempt = this.#attempt(request, activation, transactions, itself);
      // Who ignores the signal is left behind (R3).
      const outcome =
        attempt instanceof Promise ? await request.unlessMoved<Attempt>(attempt, MOVED) : attempt;
      transactions.close();
      const transaction = transactions.transaction ?? null;
      const hasMoved = request.hasMoved();
      if (hasMoved || outcome.type !== "exit" || !outcome.exit.ok) await this.#rollBack(request, transaction);
      if (hasMoved) return MOVED;
      if (outcome.type === "threw" && isRetryable(outcome.error)) {
        lastError = outcome.error;
        this.#warn(request, "An attempt failed and is repeated", outcome.error);
        continue;
      }
      if (outcome.type !== "exit" && outcome.type !== "threw") return outcome;
      const exit = outcome.type === "exit" ? outcome.exit : this.#failureOf(request, outcome.error);
      const reply: Reply = { requestId: request.id, exit };
      const recorded = await this.#record(request, reply, fence, exit.ok ? transaction : null);
      if (recorded !== "not-recorded") return recorded;
      lastError = new PersistenceError({
        operation: "saveReply",
        outcome: "not-written",
        detail: "the transaction did not commit",
      });
    }
  }

  /** Runs the handler, once. Returns, or resolves to, what `resultOf` makes of it. Neither rejects nor throws. */
  #attempt<Result>(
    request: HostedRequest,
    activation: Activation,
    transactions: TransactionScope,
    resultOf: (attempt: Attempt, request: HostedRequest) => Result,
  ): Result | Promise<Result> {
    const interrupted = request.ended;
    if (interrupted !== null) {
      const exit = this.#failure(request, this.#interruption(request, interrupted.why));
      return resultOf({ type: "exit", exit }, request);
    }
    const call = new Attempted(request, activation, transactions);
    request.isNew = false;
    let attempt: Attempt;
    try {
      if (request.inputError !== null) throw request.inputError;
      const handler = handlerOf(request, activation.handlers());
      const returned = handler(request.input, call);
      if (request.rpc.stream || request.rpc.output !== undefined || isThenable(returned))
        return this.#awaited(returned, request, activation, resultOf);
      attempt = this.#returned(request, returned);
    } catch (error) {
      attempt = thrown(error, activation);
    }
    return resultOf(attempt, request);
  }

  /** Waits for what the handler returned. Never rejects. */
  async #awaited<Result>(
    returned: unknown,
    request: HostedRequest,
    activation: Activation,
    resultOf: (attempt: Attempt, request: HostedRequest) => Result,
  ): Promise<Result> {
    let attempt: Attempt;
    try {
      const { stream, output } = request.rpc;
      const value = stream ? await this.#pipe(returned, request, activation.fence) : await returned;
      if (output !== undefined && !stream && !(value instanceof Suspension))
        await parseWhat(output, value, () => replyOf(request));
      attempt = this.#returned(request, value);
    } catch (error) {
      attempt = thrown(error, activation);
    }
    return resultOf(attempt, request);
  }

  /** @throws {SerializationError} @throws {PayloadTooLargeError} */
  #returned(request: HostedRequest, returned: unknown): Attempt {
    if (returned instanceof Suspension) return { type: "suspended", suspension: returned };
    const { maxPayloadBytes } = this.#options;
    const value = encodeBoundedPayload(returned, () => replyOf(request), maxPayloadBytes);
    return { type: "exit", exit: { ok: true, value } };
  }

  /** Sends a generator's elements as chunks, no faster than they are consumed. Returns how many there were. */
  async #pipe(iterable: unknown, request: HostedRequest, fence: Fence): Promise<number> {
    const { messages, maxPayloadBytes, tell } = this.#options;
    const what = `A chunk of ${describeCall(request.envelope)}`;
    if (!isAsyncIterable(iterable)) {
      throw new SerializationError({
        what,
        path: "",
        problem: "not an async iterable: write the handler of a streaming rpc as async *",
      });
    }
    request.window ??= new ChunkWindow();
    // An earlier attempt may have sent some: those stay as they were recorded, and are not sent twice.
    const saved = request.envelope.persisted ? (await messages.readChunks(request.id, 0)).saved : 0;
    let index = 0;
    const stopWatching = this.#watchReader(request, request.window);
    try {
      for await (const element of iterable) {
        if (request.ended !== null) break;
        await parseWhat(request.rpc.output, element, what);
        const chunk = {
          requestId: request.id,
          index,
          value: encodeBoundedPayload(element, what, maxPayloadBytes),
        };
        if (index >= saved) {
          if (request.envelope.persisted) await messages.saveChunk(chunk, fence);
          await request.window.room(index);
          if (request.ended !== null) break;
          tell(request, { type: "chunk", chunk });
        }
        index += 1;
      }
    } finally {
      stopWatching();
    }
    const ended = request.ended;
    if (ended !== null) throw this.#interruption(request, ended.why);
    return index;
  }

  /**
   * Finds out that the consumer is gone where nobody heard of it: its word was lost, or it spoke to an owner before this one.
   * A volatile stream ends then. The chunks of a persisted one stay with storage, and it goes on to its end, as does one that
   * is not to be interrupted. Returns what ends the watch.
   */
  #watchReader(request: HostedRequest, window: ChunkWindow): () => void {
    const { clock } = this.#options;
    const goesOn =
      request.envelope.persisted || request.envelope.uninterruptible || request.rpc.uninterruptible;
    const look = (): void => {
      timer = clock.setTimer(CONSUMER_SILENT_MS, look);
      if (window.heardStill()) return;
      if (goesOn) window.unread();
      else request.end("interrupted", "its reader is gone");
    };
    let timer = clock.setTimer(CONSUMER_SILENT_MS, look);
    return () => timer.cancel();
  }

  async #record(
    request: HostedRequest,
    reply: Reply,
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<RunResult | "not-recorded"> {
    const { messages } = this.#options;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await this.#backOff(request, failures);
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
        if (!(error instanceof PersistenceError)) {
          // The transaction itself cannot commit, for example after a statement in it failed: that is the handler's outcome.
          const exit = this.#failure(request, error);
          return this.#record(request, { requestId: request.id, exit }, fence, null);
        }
        this.#warn(request, "A reply could not be recorded", error);
        if (transaction !== null && error.outcome === "not-written") return "not-recorded";
        // Retention, or the execution that it was for, may have forgotten it: then nothing is left to record.
        if (await this.#isForgotten(request)) return MOVED;
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

  async #bury(request: HostedRequest, fence: Fence, error: unknown): Promise<RunResult> {
    const { messages, clock, exposeStacks, counters } = this.#options;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await this.#backOff(request, failures);
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
        this.#warn(request, "A dead letter could not be recorded", failure);
      }
    }
  }

  async #rollBack(request: HostedRequest, transaction: StorageTransaction | null): Promise<void> {
    try {
      await transaction?.rollback();
    } catch (error) {
      this.#warn(request, "A transaction could not be rolled back; its connection is dropped", error);
    }
  }

  /** What a handler that threw comes to. */
  #failureOf(request: HostedRequest, error: unknown): Exit & { ok: false } {
    const { ended } = request;
    return this.#failure(request, ended === null ? error : this.#interruption(request, ended.why, error));
  }

  #failure(request: HostedRequest, error: unknown): Exit & { ok: false } {
    const exit = {
      ok: false,
      error: encodeError(error, { exposeStacks: this.#options.exposeStacks }),
    } as const;
    // A failure's own fields may be large, too: it must not become a reply that no transport carries.
    const size = JSON.stringify(exit).length;
    if (size <= this.#options.maxPayloadBytes) return exit;
    const message = `The error of ${describeCall(request.envelope)} was too large to send (${size} characters). It began: ${exit.error.message.slice(0, 200)}`;
    return { ok: false, error: { ...exit.error, message, stack: null, data: null, cause: null } };
  }

  #interruption(request: HostedRequest, why: string, cause?: unknown): InterruptedError {
    return new InterruptedError(
      { what: describeCall(request.envelope), why },
      cause === undefined ? undefined : { cause },
    );
  }

  /** Waits before the next attempt, but not after the shard moved. */
  async #backOff(request: HostedRequest, failures: number): Promise<void> {
    const delayMs = backoffMs(BACKOFF, failures, this.#options.random);
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(delayMs, resolve);
      void request.moved().then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #warn(request: HostedRequest, message: string, error: unknown): void {
    this.#options.logger.warn(message, {
      requestId: request.id,
      entity: entityKey(request.envelope.address),
      tag: request.envelope.tag,
      attempt: request.attempts,
      error: error instanceof Error ? `${error.name}: ${error.message}` : typeof error,
    });
  }
}

/** A class, and no literal with a getter: see live-property.ts. */
class Attempted implements Call {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly isNew: boolean;
  readonly leaving: AbortWatch;
  readonly fence: Fence;
  readonly transactions: TransactionScope;
  readonly #request: HostedRequest;

  constructor(request: HostedRequest, activation: Activation, transactions: TransactionScope) {
    this.#request = request;
    this.envelope = request.envelope;
    this.attempt = Math.max(1, request.attempts);
    this.isNew = request.isNew;
    this.leaving = activation.leaving;
    this.fence = activation.fence;
    this.transactions = transactions;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  get aborted(): AbortWatch {
    return this.#request.aborted;
  }
}

function neverEnded(request: HostedRequest): InterruptedError {
  return new InterruptedError({
    what: describeCall(request.envelope),
    why: "each runner that began it ended before it was done",
  });
}

function itself(attempt: Attempt): Attempt {
  return attempt;
}

function thrown(error: unknown, { fence }: Activation): Attempt {
  const isFenced = error instanceof FencedError && error.shardId === fence.shardId;
  return isFenced ? { type: "fenced" } : { type: "threw", error };
}

/** Whether it is a promise, of whatever library. */
function isThenable(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}

/** @throws {UnknownRpcError} */
function handlerOf({ envelope }: HostedRequest, handlers: Handlers): Handler {
  const handler = handlers[envelope.tag];
  if (handler !== undefined) return handler;
  const { entityType } = envelope.address;
  throw new UnknownRpcError({ entityType, tag: envelope.tag, known: Object.keys(handlers) });
}

function replyOf(request: HostedRequest): string {
  return `The reply of ${describeCall(request.envelope)}`;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
