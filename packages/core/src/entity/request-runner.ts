// RequestRunner: takes one accepted request to its end: attempts, outcome, record. Records with outcome-writer.ts, and has what
// a generator yields sent by stream-producer.ts.
//
//   R1  No answer to a persisted request leaves before its record is durable (the caller of `run` answers, with what
//       `run` returns).
//   R2  After the shard moved nothing is recorded, the transaction is rolled back, and nobody waits for the handler.
//   R3  No handler begins unless the lease is held at that very moment. A process that stood still while it awaited leaves
//       the request to the shard's next owner; those who wait for it are told when its own shards are dropped, and who waits
//       for a volatile one at once.
//   R4  What runs ahead of its acceptance is stored meanwhile. Until that is done nothing else is recorded of it, and no
//       transaction of its handler begins.
//   R5  An attempt that ends since its transaction could not begin does not count, but for the hundredth: many that wait for few
//       connections are at no fault.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import type { ErrorLimits } from "../contract/bounded-error.ts";
import type { AbortWatch } from "../contract/abort.ts";
import { isAnswer } from "../contract/answers.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import type { Logger } from "../contract/logger.ts";
import { isRetryable } from "../contract/retryable.ts";
import { parse } from "../contract/schema.ts";
import { readable } from "../contract/thrown.ts";
import {
  couldNotBegin,
  isLostWith,
  MOST_WITHOUT_TRANSACTION,
  noTransactionsFor,
  TransactionScope,
  type StorageTransaction,
} from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Exit, Reply } from "../data/reply.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { InterruptedError, UnknownRpcError } from "../errors/routing.ts";
import { FencedError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import { acceptedInput } from "./asked-rpc.ts";
import {
  isQueued,
  Suspension,
  type Call,
  type EntityBehavior,
  type Handler,
  type Handlers,
} from "./behavior.ts";
import { BriefRpcs } from "./brief-rpcs.ts";
import type { Counters } from "./counters.ts";
import { exitOfThrown, failedExit, interruption } from "./failed-exit.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { OutcomeWriter } from "./outcome-writer.ts";
import { Retries } from "./retries.ts";
import { MOVED, type RunResult } from "./run-result.ts";
import { StreamProducer } from "./stream-producer.ts";

export interface RequestRunnerOptions extends ErrorLimits {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counters: Counters;
  /** Attempts after the first before a persisted request becomes a dead letter. */
  readonly maxRetries: number;
  /** Whether this runner's lease is held at this moment. Once it is not, all its shards are dropped soon. */
  readonly leaseIsHeld: () => boolean;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  /** As that of an outcome writer. */
  readonly paying: (fence: Fence, paid: Promise<void>) => void;
  /** Sends to all who wait for this request. */
  readonly tell: (request: HostedRequest, message: WireMessage) => void;
}

type Attempt =
  | { readonly type: "exit"; readonly exit: Exit }
  | { readonly type: "threw"; readonly error: unknown }
  | Exclude<RunResult, { type: "answered" | "dead" }>;

/** Tries, with six seconds of pauses between them, after which a dead letter is recorded although nobody could be told of it. */
const MOST_TELLINGS = 7;
/** The scope of all handlers of volatile requests: nobody opens a transaction in it. */
const NO_TRANSACTIONS = new TransactionScope(
  undefined,
  "the rpc is not persisted, so there is no record to commit with; set persisted: true",
);

const NOT_TRANSACTIONAL = noTransactionsFor("handlers");

export class RequestRunner {
  readonly #options: RequestRunnerOptions;
  readonly #begin: ((after?: Promise<unknown>) => StorageTransaction) | undefined;
  readonly #brief = new BriefRpcs();
  readonly #retries: Retries;
  readonly #outcomes: OutcomeWriter;
  readonly #streams: StreamProducer;

  constructor(options: RequestRunnerOptions) {
    this.#options = options;
    this.#begin = options.messages.beginTransaction?.bind(options.messages);
    this.#retries = new Retries(options);
    this.#outcomes = new OutcomeWriter({ ...options, retries: this.#retries });
    this.#streams = new StreamProducer(options);
  }

  /** Whether an rpc's handlers are over soon. */
  isBrief(behavior: EntityBehavior, rpc: AnyRpc): boolean {
    return this.#brief.has(behavior, rpc);
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
    const exit = attempt.type === "exit" ? attempt.exit : exitOfThrown(request, attempt.error, this.#options);
    return { type: "answered", reply: { requestId: request.id, exit } };
  };

  /** Who waits for its end elsewhere is told before it is recorded: should this runner die in between, the next owner does both. */
  async #bury(request: HostedRequest, activation: Activation, error: unknown): Promise<RunResult> {
    let isTold = false;
    for (let tries = 1; !isTold && tries <= MOST_TELLINGS && !request.hasMoved(); tries += 1) {
      if (tries > 1) await this.#retries.pause(request, tries - 1);
      isTold = await request.unlessMoved(this.#toldOfEnd(request, activation), true);
    }
    const result = await this.#outcomes.bury(request, activation.fence, error);
    // Storage may be back since. Who is not told then looks by itself after a while.
    if (!isTold && result.type === "dead") void this.#toldOfEnd(request, activation);
    return result;
  }

  /** Never rejects. */
  async #toldOfEnd(request: HostedRequest, { behavior, address }: Activation): Promise<boolean> {
    try {
      await behavior.burying?.(address);
      return true;
    } catch (error) {
      this.#retries.warn(request, "Those who wait for what is to be a dead letter could not be told", error);
      return false;
    }
  }

  /** Attempts it until its outcome is recorded, or it is buried. */
  async #runRecorded(request: HostedRequest, activation: Activation): Promise<RunResult> {
    const { fence, behavior } = activation;
    // An execution leaves as soon as its shard is about to, also between two attempts: the next owner makes the other one. Not what
    // is in a queue: what its shard takes still is not to overtake it.
    const leavesBetween = behavior.keepsNothing === true && !isQueued(behavior, request.envelope.tag);
    const leaving = leavesBetween ? activation.leaving : null;
    let lastError: unknown = null;
    let uncounted = 0;
    // The one that only tells that it was begun is no failure.
    const mostRetries = Math.max(behavior.countsCutAttempt === true ? 1 : 0, this.#options.maxRetries);
    const isSpent = (): boolean => request.attempts > mostRetries;
    const hasAnother = (): boolean => request.attemptIsRecorded || !isSpent();
    for (let failures = 0; ; failures += 1) {
      request.isUnderWay = false;
      if (failures > 0 && hasAnother()) {
        this.#options.counters.retried += 1;
        await this.#retries.pause(request, failures, leaving);
        if (leaving?.isAborted === true) return MOVED;
        await this.#parseAnew(request);
      }
      if (request.hasMoved()) return MOVED;
      if (!request.attemptIsRecorded) {
        if (isSpent()) return this.#bury(request, activation, lastError ?? neverEnded(request));
        try {
          await this.#options.messages.recordAttempt(request.id, request.attempts + 1, fence);
        } catch (error) {
          if (error instanceof FencedError) return { type: "fenced" };
          // It does not count as an attempt: nothing of the user's has run.
          this.#retries.warn(request, "An attempt could not be recorded", error);
          continue;
        }
        request.attempts += 1;
      }
      request.attemptIsRecorded = false;
      request.isUnderWay = true;
      if (!this.#options.leaseIsHeld()) return MOVED;
      const storing = request.isAccepted ? null : this.#outcomes.accept(request, fence);
      request.storing = storing;
      const transactions = new TransactionScope(this.#beginAfter(storing), NOT_TRANSACTIONAL);
      const isToRun = request.inputError === null && request.ended === null;
      // Of what never runs ahead nobody asks whether it is brief.
      const turn = isToRun && behavior.mayRunAhead === true ? this.#brief.begins() : null;
      const attempt = this.#attempt(request, activation, transactions, itself, uncounted);
      // Who ignores the signal is left behind (R2).
      const outcome =
        attempt instanceof Promise ? await request.unlessMoved<Attempt>(attempt, MOVED) : attempt;
      request.isRunning = false;
      transactions.close();
      const transaction = transactions.transaction ?? null;
      if (turn !== null) this.#brief.ended(behavior, request.rpc, turn, transaction !== null);
      const hasMoved = request.hasMoved();
      if (hasMoved || outcome.type !== "exit" || !outcome.exit.ok) await this.#rollBack(request, transaction);
      if (hasMoved) return MOVED;
      if (outcome.type !== "exit" && outcome.type !== "threw") return outcome;
      const reply = this.#replyTo(request, outcome, transaction);
      if (storing !== null) {
        request.ready = transaction === null ? reply : null;
        const end = await request.unlessMoved<RunResult | null>(storing, MOVED);
        if (end !== null) {
          await this.#rollBack(request, transaction);
          return end;
        }
      }
      if (reply === null) {
        lastError = outcome.type === "threw" ? outcome.error : null;
        // Then the next one is on the count already (R5).
        request.attemptIsRecorded =
          uncounted < MOST_WITHOUT_TRANSACTION && couldNotBegin(lastError, transaction);
        if (request.attemptIsRecorded) uncounted += 1;
        // Of the last one the dead letter says it.
        if (hasAnother()) this.#retries.warn(request, "An attempt failed and is repeated", lastError);
        continue;
      }
      const recorded = await this.#outcomes.record(request, reply, fence, reply.exit.ok ? transaction : null);
      if (recorded.type !== "not-recorded") return recorded;
      lastError = recorded.error;
    }
  }

  /** The attempt before may have changed its input. Never rejects. */
  async #parseAnew(request: HostedRequest): Promise<void> {
    if (request.inputError !== null) return;
    try {
      request.input = await acceptedInput(request.rpc, request.envelope);
    } catch (error) {
      request.inputError = error;
    }
  }

  /** How its transaction begins: it may hold the only connection, which its acceptance needs first (R4). */
  #beginAfter(storing: Promise<unknown> | null): (() => StorageTransaction) | undefined {
    const begin = this.#begin;
    return storing === null || begin === undefined ? begin : () => begin(storing);
  }

  /** The reply that an attempt comes to. Null: another one is to follow. */
  #replyTo(
    request: HostedRequest,
    attempt: Extract<Attempt, { type: "exit" | "threw" }>,
    transaction: StorageTransaction | null,
  ): Reply | null {
    if (attempt.type === "exit") return { requestId: request.id, exit: attempt.exit };
    if (asksForAnother(attempt.error, transaction)) return null;
    return { requestId: request.id, exit: exitOfThrown(request, attempt.error, this.#options) };
  }

  /** Runs the handler, once. Returns, or resolves to, what `resultOf` makes of it. Neither rejects nor throws. */
  #attempt<Result>(
    request: HostedRequest,
    activation: Activation,
    transactions: TransactionScope,
    resultOf: (attempt: Attempt, request: HostedRequest) => Result,
    uncounted = 0,
  ): Result | Promise<Result> {
    const interrupted = request.ended;
    if (interrupted !== null) {
      const exit = failedExit(request, interruption(request, interrupted.why), this.#options);
      return resultOf({ type: "exit", exit }, request);
    }
    const { leaseIsHeld } = this.#options;
    const call = new AttemptCall(request, activation, { transactions, uncounted, leaseIsHeld });
    request.isNew = false;
    request.owed = null;
    request.isRunning = true;
    let attempt: Attempt;
    try {
      const handler = handlerOf(request, activation);
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
      const value = stream ? await this.#streams.pipe(returned, request, activation.fence) : await returned;
      if (output !== undefined && !stream) await parse(output, value, () => replyOf(request));
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

  async #rollBack(request: HostedRequest, transaction: StorageTransaction | null): Promise<void> {
    try {
      await transaction?.rollback();
    } catch (error) {
      this.#retries.warn(request, "A transaction could not be rolled back; its connection is dropped", error);
    }
  }
}

/** A class, and no literal with a getter: see live-property.ts. */
class AttemptCall implements Call {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly isNew: boolean;
  readonly leaving: AbortWatch;
  readonly fence: Fence;
  readonly transactions: TransactionScope;
  readonly #request: HostedRequest;
  readonly #leaseIsHeld: () => boolean;

  constructor(
    request: HostedRequest,
    activation: Activation,
    {
      transactions,
      uncounted,
      leaseIsHeld,
    }: {
      readonly transactions: TransactionScope;
      readonly uncounted: number;
      readonly leaseIsHeld: () => boolean;
    },
  ) {
    this.#request = request;
    this.#leaseIsHeld = leaseIsHeld;
    this.envelope = request.envelope;
    this.attempt = Math.max(1, request.attempts) + uncounted;
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

  mayBegin(): boolean {
    return !this.#request.hasMoved() && this.#leaseIsHeld();
  }

  countAnew(): void {
    this.#request.attempts = Math.min(this.#request.attempts, 1);
  }

  owes(write: () => Promise<void>): void {
    this.#request.owed = write;
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

function thrown(cause: unknown, { fence }: Activation): Attempt {
  const error = readable(cause);
  // The answer of another handler may be of this shard, too.
  const isFenced = error instanceof FencedError && error.shardId === fence.shardId && !isAnswer(error);
  return isFenced ? { type: "fenced" } : { type: "threw", error };
}

/** Whether the attempt is repeated. A query builder may have wrapped what the transaction was lost with. */
function asksForAnother(error: unknown, transaction: StorageTransaction | null): boolean {
  if (isRetryable(error)) return true;
  return isLostWith(error, transaction);
}

/** Whether it is a promise, of whatever library. */
function isThenable(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}

/** @throws {UnknownRpcError} @throws what its input gave */
function handlerOf({ envelope, inputError }: HostedRequest, activation: Activation): Handler {
  if (inputError !== null) {
    const unread = activation.behavior.unread?.(inputError, envelope.tag) ?? null;
    if (unread === null) throw inputError;
    return unread;
  }
  const handlers: Handlers = activation.handlers();
  const handler = Object.hasOwn(handlers, envelope.tag) ? handlers[envelope.tag] : undefined;
  if (handler !== undefined) return handler;
  const { entityType } = envelope.address;
  throw new UnknownRpcError({ entityType, tag: envelope.tag, known: Object.keys(handlers) });
}

function replyOf(request: HostedRequest): string {
  return `The reply of ${describeCall(request.envelope)}`;
}
