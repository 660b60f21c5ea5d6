import type { OpenStorage, StorageTransaction } from "@holdfast/core/adapter";

/** One storage with no data in it, as the suites of MessageStorage and WorkflowStorage use it. */
export interface StorageBackend {
  /**
   * Opens a session on this backend's data. Each call gives one more, as another process would have; all of them see
   * what any of them wrote.
   */
  open(): Promise<OpenStorage>;
  /** The wall time of the clock that `open` gives to its sessions. Default: the machine's, as `adapterServices` has it. */
  now?(): number;
  /** Given where `supports.transactions`: how the suite writes and reads through a transaction. */
  readonly transactions?: TransactionProbe;
  /** Ends the backend and its data. The suite has closed its sessions before. */
  dispose(): Promise<void>;
}

/** A table of the user's beside the adapter's own, of which the suite knows only what it wrote there. */
export interface TransactionProbe {
  /** Writes `key` in this transaction, as a handler would. Writing a key twice is no error. */
  write(transaction: StorageTransaction, key: string): Promise<void>;
  /** Runs a statement in this transaction that fails, and rejects: if there is one, one for which the backend ends the transaction. */
  fail(transaction: StorageTransaction): Promise<void>;
  /** Where a failure can leave the transaction open: runs a statement in it that fails so, and rejects. */
  failAlone?(transaction: StorageTransaction): Promise<void>;
  /** Whether `key` is committed, read outside of every transaction. */
  has(key: string): Promise<boolean>;
}

/** Called once for each case: what it returns shares no data with what it returned before. */
export type StorageFactory = () => StorageBackend | Promise<StorageBackend>;
