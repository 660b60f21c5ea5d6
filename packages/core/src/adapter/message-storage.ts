import type { StorageTransaction } from "../contract/transaction.ts";
import type { DeadLetter } from "../data/dead-letter.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Envelope, PendingRequest } from "../data/envelope.ts";
import type { Epoch, Fence } from "../data/epoch.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";

/** What is known of a persisted request. `answered` is final (INV-6); `dead` may become `pending` by a requeue. */
export type RequestState =
  | {
      readonly state: "pending";
      readonly requestId: string;
      readonly deliverAt: number | null;
      readonly attempts: number;
    }
  | { readonly state: "answered"; readonly requestId: string; readonly reply: Reply }
  | { readonly state: "dead"; readonly requestId: string; readonly deadLetter: DeadLetter };

export type SaveRequestResult =
  /** It is durable now, and so is its reply where that was ready. */
  | { readonly outcome: "accepted"; readonly sequence: number; readonly isAnswered?: true }
  /**
   * There is one with the same id, or of the same entity, tag and deduplication key. `existing.requestId` is the id of
   * the first one, to which all replies go. Nothing was written.
   */
  | { readonly outcome: "duplicate"; readonly sequence: number; readonly existing: RequestState };

export interface PendingQuery {
  readonly shardIds: readonly ShardId[];
  /** Wall time: requests with a later `deliverAt` are left out. */
  readonly now: number;
  readonly limit: number;
  /** Sequences of requests that the caller holds already. Left out. */
  readonly excludingSequences: readonly number[];
  /** Entities whose mailbox takes no more. Their requests are left out. */
  readonly excludingEntities: readonly EntityAddress[];
}

export interface PendingPage {
  /** Due requests in the order of their sequences: the first `limit` of them, or fewer if they are large, but one at least. */
  readonly requests: readonly PendingRequest[];
  /** Whether more matched than these. */
  readonly more: boolean;
  /** The earliest `deliverAt` after `now` among the pending requests of these shards, those left out included, or null. */
  readonly nextDueAt: number | null;
}

export interface ForgetQuery {
  readonly entityType: string;
  /** Wall time. */
  readonly answeredBefore: number;
  readonly limit: number;
  /**
   * The type is a workflow's, and requests of this tag are looked for alone. One that has it as its deduplication key, too, is an
   * execution: with it go its journal, its attributes and every other request to it, answered or not, all or none. Another
   * one goes alone. Not given: each request goes alone, and no journal is looked for. A storage that files journals under
   * `ExecutionKey.requestId` may then find those of such a request no more.
   */
  readonly executionTag?: string;
}

/**
 * Keeps accepted requests and their replies. A caller that missed an outcome asks again: each method is safe to repeat
 * with the same arguments, and gives the same result or says that it is done. Methods are called at the same time, by one
 * caller and by many: what has to come in some order is said where it has to.
 *
 * Every method may reject with PersistenceError, whose `outcome` says whether a write happened. A method that takes a
 * fence rejects with FencedError, and changes nothing, once its shard was claimed again (INV-1), and where it was never
 * claimed, also if there is nothing to change; `null` as a fence is for a sender that writes on nobody's behalf.
 *
 * Ids and keys are JavaScript's strings, also such as UTF-8 has not: with half of a surrogate pair, or with a NUL. Storage keeps
 * them apart from all others, or refuses to write them with SerializationError and finds nothing by them.
 */
export interface MessageStorage {
  readonly supports: MessageStorageSupport;

  /**
   * Raises the epoch of each shard by one or more and returns the new epochs, in the order of `shardIds`. A shard that was
   * never claimed starts at 1.
   *
   * Resolves once no write under an older epoch can commit any more, those in flight included (INV-1).
   * Source: Burrows 2006, "The Chubby lock service", section 2.4 (there: sequencers).
   *
   * @throws {PersistenceError} outcome unknown: the caller owns none of them until a later claim succeeds
   */
  claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]>;

  /**
   * Accepts a request: it is durable when this resolves. Sequences rise with acceptance: a request saved after another's
   * acceptance resolved has the higher one, and so have requests to one entity that one caller saves in one turn, in the
   * order of calls.
   *
   * @throws {SerializationError} storage cannot keep its id, its entity's or its key as it is; nothing was written
   * @param attempts how many attempts to record as begun: 1 when the caller starts the handler at once, else 0
   * @param ready the reply, once the caller has it: asked at most once, as late as storage can, and with a fence only. A reply that
   *   is given is recorded with the request, or neither is: what `saveReply` would do takes no write of its own. Storage
   *   need not ask.
   */
  saveRequest(
    envelope: Envelope,
    attempts: number,
    fence: Fence | null,
    ready?: () => Reply | null,
  ): Promise<SaveRequestResult>;

  /** Reads due, unanswered requests. Takes nothing: what keeps another from running them is the caller's ownership. */
  readPending(query: PendingQuery): Promise<PendingPage>;

  /**
   * Records that attempt number `attempts` begins. Durable when it resolves. Does nothing if the request is not pending. Waits for
   * a transaction that is about to record its reply, of which nobody may hear any more, or rejects: once it resolves, `lookUp`
   * says what came of that.
   */
  recordAttempt(requestId: string, attempts: number, fence: Fence): Promise<void>;

  /**
   * Puts a pending request off to `deliverAt` (wall time; null: due now) and sets its count of attempts. Does nothing if it is not
   * pending. One whose outcome is unknown may still happen, but not once a later write for the request, by the same caller,
   * has resolved: what was made due would be put off again, and nobody would come for it.
   */
  reschedule(
    requestId: string,
    schedule: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): Promise<void>;

  /**
   * Records the reply, in `transaction` if one is given, which then commits: the writes made in it and the reply are
   * durable together, or neither. The request is pending no longer. If there is a recorded reply, it stays, the
   * transaction is rolled back, and the recorded one is returned (INV-6); else `reply` is. A dead letter that is answered
   * after all is a dead letter no longer. The time of answering is the wall time of the cluster's clock.
   *
   * On any rejection the transaction is over, too. One that is over already is refused, with either of the errors that say that
   * nothing was written: no reply is recorded without its effects. A transaction of another storage is rolled back, and refused with TransactionUnavailableError.
   *
   * @throws {PersistenceError} `not-written` also where the request was never accepted, or is forgotten
   * @throws {TransactionUnavailableError} a statement in the transaction failed before, or its COMMIT was refused for what it
   *   wrote: nothing was written, and nothing will be by repeating it; the handler is at fault. One whose `cause` says
   *   `retryable: true` asks for another attempt
   */
  saveReply(reply: Reply, fence: Fence, transaction: StorageTransaction | null): Promise<Reply>;

  /** What is known of each of these; those never accepted (or forgotten by retention) are left out. */
  lookUp(requestIds: readonly string[]): Promise<readonly RequestState[]>;

  /** What is known of the request with this deduplication key, or null. */
  lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): Promise<RequestState | null>;

  /**
   * Keeps a chunk of a persisted stream. One that is there already stays as it was; one that was acknowledged is not kept.
   *
   * @throws {PersistenceError} `not-written` also where the request was never accepted, or is forgotten
   */
  saveChunk(chunk: Chunk, fence: Fence): Promise<void>;
  /** The kept chunks from index `from` on, in order, and how many were ever saved: each index once, acknowledged or not. */
  readChunks(
    requestId: string,
    from: number,
  ): Promise<{ readonly chunks: readonly Chunk[]; readonly saved: number }>;
  /** Forgets those of the saved chunks that are below `upTo`; how many were saved stays known. Later ones are kept. */
  acknowledgeChunks(requestId: string, upTo: number): Promise<void>;

  /** Makes a pending request a dead letter. Does nothing if it is not pending. */
  saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): Promise<void>;
  /**
   * Dead letters, oldest first; `after` is the request id of the last one seen, for paging. If that is a dead letter no
   * longer (requeued, dropped or answered meanwhile) the list begins again with the oldest: better twice than never.
   */
  listDeadLetters(query: { limit: number; after: string | null }): Promise<readonly DeadLetter[]>;
  /**
   * Makes a dead letter pending again and due now, in its old place, with no attempts on its count. Returns its address, or
   * null if it is no dead letter.
   *
   * @param executionTag the letter's type is a workflow's, and requests of this tag are its executions: one of those has one
   *   attempt on its count, since it must tell that it was begun before. Null: it is another type
   */
  requeueDeadLetter(requestId: string, executionTag: string | null): Promise<EntityAddress | null>;
  /**
   * Forgets a dead letter for good, its deduplication key included. Returns whether it was one.
   *
   * @param executionTag the letter's type is a workflow's, and requests of this tag and deduplication key are its executions: with
   *   such a letter go its journal, its attributes and every other request to it, answered or not, all or none. Another
   *   letter goes alone, and so does any if this is null.
   */
  dropDeadLetter(requestId: string, executionTag: string | null): Promise<boolean>;

  /**
   * Forgets requests answered before this wall time, with their keys, replies and chunks, at most `limit`. Returns how many.
   * Dead letters and pending requests stay.
   */
  forgetAnswered(query: ForgetQuery): Promise<number>;

  /**
   * Present where `supports.transactions`: a transaction that begins with its first statement, but not before `after` is over,
   * which never rejects: a write of its request that may need the connection, or the turn to write, that it would hold. Who
   * begins before waits for himself: that write cannot end, and the transaction commits only after it.
   */
  beginTransaction?(after?: Promise<unknown>): StorageTransaction;

  /**
   * Present where `supports.wakeUps`: calls `wake` soon after a request for these shards was saved by another process
   * without a fence. A hint: it may come late, twice or never. Resolves to what ends it.
   */
  watchPending?(wake: (shardIds: readonly ShardId[]) => void): Promise<() => Promise<void>>;
}

export interface MessageStorageSupport {
  /** Whether handlers can write in the transaction that records their reply. */
  readonly transactions: boolean;
  /** Whether other processes' saves are announced. Where not, they are found by polling. */
  readonly wakeUps: boolean;
}
