import type { StorageTransaction } from "../contract/transaction.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import type { AttributeValue, ExecutionRecord, ExecutionStatus } from "../data/execution-record.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

/** Which execution: its workflow's entity type and its id. */
export interface ExecutionKey {
  readonly entityType: string;
  readonly executionId: string;
  /**
   * The id of the request that it is, whose tag and deduplication key are `execute`, from whoever has it at hand: storage may
   * file what it appends under it. Reads, and whatever changes what is there, find the same with it and without. Its owner
   * gives it at all its appends or at none, since an ordinal that is there already need show only among those named alike.
   */
  readonly requestId?: string;
}

/** A request to an execution besides its start: a signal, a request to cancel. Accepted is received: it stays until it is trimmed. */
export interface InboxMessage {
  readonly requestId: string;
  readonly tag: string;
  /** The encoded input. */
  readonly payload: string;
}

/** Which requests to an execution's entity are what. */
export interface ExecutionTags {
  readonly execution: string;
  readonly inbox: readonly string[];
}

export interface StoredExecution {
  /** The whole journal in the order of ordinals; empty where there is none. */
  readonly entries: readonly JournalEntry[];
  /** In the order in which they were accepted. */
  readonly inbox: readonly InboxMessage[];
}

export interface ExecutionQuery {
  readonly entityType: string;
  /** The tag of the request that is an execution. All of this tag that have a deduplication key are listed, whichever it is. */
  readonly tag: string;
  /** Only this one; null: any. */
  readonly executionId: string | null;
  /** Null: any. */
  readonly status: ExecutionStatus | null;
  /** Wall times in milliseconds since 1970: not before, and before. Null: any. */
  readonly startedFrom: number | null;
  readonly startedBefore: number | null;
  /** Those that have all of these. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Wall time: tells a suspended execution from one that is due. */
  readonly now: number;
  readonly limit: number;
  /** The request id of the last one seen, for the next page; null: from the start. */
  readonly after: string | null;
}

/**
 * Keeps the journals of executions, on the same backend as the requests that they are. Appended by one owner at a time,
 * read whole when an execution comes into memory.
 */
export interface WorkflowStorage {
  /**
   * Appends entries, all or none, in `transaction` if one is given, which then commits: the writes made in it and the
   * entries are durable together, or neither. Calls for one execution without a transaction become durable in the
   * order in which they were made. Entries whose ordinals are there already stay as they were, so that a repeated call
   * does no harm. The value of a completed step of kind `attributes` changes what `listExecutions` finds it by, in the same
   * write: what it does not name stays, a null takes away.
   *
   * In a transaction an ordinal that is there already refuses the whole, and everything is rolled back: its writes must
   * not happen beside somebody else's entry. It may be the caller's own, of a commit whose outcome he did not hear.
   *
   * On any rejection the transaction is over, too. A transaction of another storage is rolled back, and refused with
   * TransactionUnavailableError.
   *
   * @throws {FencedError} the shard was claimed again; nothing was written
   * @throws {PersistenceError} `outcome` says whether it was written; `unknown` also where an ordinal was there already
   * @throws {TransactionUnavailableError} a statement in the transaction failed before, or its COMMIT was refused for what it
   *   wrote: nothing was written; the activity is at fault
   */
  appendJournal(
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void>;

  /**
   * The journal, and the requests of `tags.inbox` to the execution's entity that have a deduplication key, answered or not,
   * and that were accepted after the request of `tags.execution` with a deduplication key, which the execution is: where
   * there is none, the inbox is empty. As of one moment. @throws {PersistenceError}
   */
  readExecution(execution: ExecutionKey, tags: ExecutionTags): Promise<StoredExecution>;

  /**
   * Forgets the entries below an ordinal; of these requests to the execution's entity, those that were answered before
   * `answeredBefore` (wall time), with their replies; and of those without a deduplication key all that were, whether given
   * or not. Safe to repeat.
   *
   * @throws {FencedError} the shard was claimed again; nothing was forgotten
   */
  trimExecution(
    execution: ExecutionKey,
    trim: {
      readonly belowOrdinal: number;
      readonly requestIds: readonly string[];
      readonly answeredBefore: number;
    },
    fence: Fence,
  ): Promise<void>;

  /**
   * Executions in the order of their request ids, the newest first; the first `limit` that match. `after` need not be the id of
   * one that is there. @throws {PersistenceError}
   */
  listExecutions(query: ExecutionQuery): Promise<readonly ExecutionRecord[]>;

  /**
   * Takes back the error with which this execution, whose request it is, ended, forgets these entries of its journal, appends
   * `entry`, and makes the request pending and due now, with no attempts on its count: all or nothing, and with no fenced write
   * for its shard under way beside it. Returns its address, or null if the request is not answered with an error, or the journal
   * has an entry of that ordinal or a higher one, because somebody else was first: then nothing changed.
   */
  reopenExecution(
    execution: ExecutionKey,
    requestId: string,
    changes: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): Promise<EntityAddress | null>;
}
