// MemoryMessageStorage: one session's handle on requests and replies in the memory of one process (memory-messages.ts).

import type {
  ForgetQuery,
  MessageStorage,
  MessageStorageSupport,
  PendingPage,
  PendingQuery,
  RequestState,
  SaveRequestResult,
} from "../adapter/message-storage.ts";
import type { Clock } from "../adapter/clock.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { DeadLetter } from "../data/dead-letter.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Epoch, Fence } from "../data/epoch.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import { TransactionUnavailableError } from "../errors/storage.ts";
import type { MemoryMessages } from "./memory-messages.ts";
import type { MemorySession } from "./memory-session.ts";

/** One session's handle on the requests. Answers in a later turn of the microtask queue, as any storage does. */
export class MemoryMessageStorage implements MessageStorage {
  /** Nothing to write in beside a reply, and no other process whose saves could be announced. */
  readonly supports: MessageStorageSupport = { transactions: false, wakeUps: false };
  readonly #messages: MemoryMessages;
  readonly #session: MemorySession;
  readonly #clock: Clock;

  constructor(messages: MemoryMessages, session: MemorySession, clock: Clock) {
    this.#messages = messages;
    this.#session = session;
    this.#clock = clock;
  }

  async claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]> {
    this.#session.assertOpen("claimShards");
    return this.#messages.claimShards(shardIds);
  }

  async saveRequest(
    envelope: Envelope,
    attempts: number,
    fence: Fence | null,
    ready?: () => Reply | null,
  ): Promise<SaveRequestResult> {
    this.#session.assertOpen("saveRequest");
    const saved = this.#messages.saveRequest(envelope, attempts, fence);
    if (saved.outcome === "duplicate" || fence === null) return saved;
    const reply = ready?.() ?? null;
    if (reply === null) return saved;
    this.#messages.saveReply(reply, fence, this.#clock.now());
    return { ...saved, isAnswered: true };
  }

  async readPending(query: PendingQuery): Promise<PendingPage> {
    this.#session.assertOpen("readPending");
    return this.#messages.readPending(query);
  }

  async recordAttempt(requestId: string, attempts: number, fence: Fence): Promise<void> {
    this.#session.assertOpen("recordAttempt");
    this.#messages.recordAttempt(requestId, attempts, fence);
  }

  async reschedule(
    requestId: string,
    schedule: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): Promise<void> {
    this.#session.assertOpen("reschedule");
    this.#messages.reschedule(requestId, schedule, fence);
  }

  async saveReply(reply: Reply, fence: Fence, transaction: StorageTransaction | null): Promise<Reply> {
    this.#session.assertOpen("saveReply");
    if (transaction !== null) await refuse(transaction);
    return this.#messages.saveReply(reply, fence, this.#clock.now());
  }

  async lookUp(requestIds: readonly string[]): Promise<readonly RequestState[]> {
    this.#session.assertOpen("lookUp");
    return this.#messages.lookUp(requestIds);
  }

  async lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): Promise<RequestState | null> {
    this.#session.assertOpen("lookUpByKey");
    return this.#messages.lookUpByKey(entity, tag, deduplicationKey);
  }

  async saveChunk(chunk: Chunk, fence: Fence): Promise<void> {
    this.#session.assertOpen("saveChunk");
    this.#messages.saveChunk(chunk, fence);
  }

  async readChunks(
    requestId: string,
    from: number,
  ): Promise<{ readonly chunks: readonly Chunk[]; readonly saved: number }> {
    this.#session.assertOpen("readChunks");
    return this.#messages.readChunks(requestId, from);
  }

  async acknowledgeChunks(requestId: string, upTo: number): Promise<void> {
    this.#session.assertOpen("acknowledgeChunks");
    this.#messages.acknowledgeChunks(requestId, upTo);
  }

  async saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): Promise<void> {
    this.#session.assertOpen("saveDeadLetter");
    this.#messages.saveDeadLetter(requestId, letter, fence);
  }

  async listDeadLetters(query: { limit: number; after: string | null }): Promise<readonly DeadLetter[]> {
    this.#session.assertOpen("listDeadLetters");
    return this.#messages.listDeadLetters(query);
  }

  async requeueDeadLetter(requestId: string, executionTag: string | null): Promise<EntityAddress | null> {
    this.#session.assertOpen("requeueDeadLetter");
    return this.#messages.requeueDeadLetter(requestId, executionTag);
  }

  async dropDeadLetter(requestId: string, executionTag: string | null): Promise<boolean> {
    this.#session.assertOpen("dropDeadLetter");
    return this.#messages.dropDeadLetter(requestId, executionTag);
  }

  async forgetAnswered(query: ForgetQuery): Promise<number> {
    this.#session.assertOpen("forgetAnswered");
    return this.#messages.forgetAnswered(query);
  }
}

/** Rolls back a transaction, which is another storage's. @throws {TransactionUnavailableError} always */
export async function refuse(transaction: StorageTransaction): Promise<never> {
  await transaction.rollback();
  throw new TransactionUnavailableError({
    wanted: transaction.kind,
    why: "the memory storage has no transactions",
  });
}
