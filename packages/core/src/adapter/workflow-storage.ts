import type { StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

/** Which execution: its workflow's entity type and its id. */
export interface ExecutionKey {
  readonly entityType: string;
  readonly executionId: string;
}

/** Keeps the journals of executions. Appended by one owner at a time, read whole when an execution comes into memory. */
export interface WorkflowStorage {
  /**
   * Appends entries, all or none, in `transaction` if one is given, which then commits: the writes made in it and the
   * entries are durable together, or neither. Calls for one execution without a transaction become durable in the
   * order in which they were made. Entries whose ordinals are there already stay as they were, so that a repeated call
   * does no harm.
   *
   * On any rejection the transaction is over, too.
   *
   * @throws {FencedError} the shard was claimed again; nothing was written
   * @throws {PersistenceError} `outcome` says whether it was written
   * @throws {TransactionUnavailableError} a statement in the transaction failed before, so it cannot commit: nothing was
   *   written; the activity is at fault
   */
  appendJournal(
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void>;

  /** The whole journal in the order of ordinals; empty for an execution that has none. @throws {PersistenceError} */
  readJournal(execution: ExecutionKey): Promise<readonly JournalEntry[]>;
}
