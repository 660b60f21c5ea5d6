// MemoryWorkflowStorage: journals in the memory of one process. Made as memory-message-storage.ts is: the data, and one
// session's handle on it; a fence is checked and the entries written without an `await` between.
//
//   J1  A journal is in the order of its ordinals, each there once.

import type { ExecutionKey, WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import type { MemoryEpochs } from "./memory-epochs.ts";
import { refuse } from "./memory-message-storage.ts";
import type { MemorySession } from "./memory-session.ts";

/** The data of a memory storage's journals, shared by its sessions. */
export class MemoryJournals {
  readonly #epochs: MemoryEpochs;
  readonly #journals = new Map<string, JournalEntry[]>();

  constructor(epochs: MemoryEpochs) {
    this.#epochs = epochs;
  }

  append(execution: ExecutionKey, entries: readonly JournalEntry[], fence: Fence): void {
    this.#epochs.check(fence);
    if (entries.length === 0) return;
    const key = keyOf(execution);
    let journal = this.#journals.get(key);
    if (journal === undefined) this.#journals.set(key, (journal = []));
    for (const entry of entries) insert(journal, entry);
  }

  read(execution: ExecutionKey): readonly JournalEntry[] {
    return this.#journals.get(keyOf(execution))?.slice() ?? [];
  }

  forget(execution: ExecutionKey): void {
    this.#journals.delete(keyOf(execution));
  }
}

/** One session's handle on the journals. */
export class MemoryWorkflowStorage implements WorkflowStorage {
  readonly #journals: MemoryJournals;
  readonly #session: MemorySession;

  constructor(journals: MemoryJournals, session: MemorySession) {
    this.#journals = journals;
    this.#session = session;
  }

  async appendJournal(
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void> {
    this.#session.assertOpen("appendJournal");
    if (transaction !== null) await refuse(transaction);
    this.#journals.append(execution, entries, fence);
  }

  async readJournal(execution: ExecutionKey): Promise<readonly JournalEntry[]> {
    this.#session.assertOpen("readJournal");
    return this.#journals.read(execution);
  }
}

/** Entity types are checked names without `/`. */
function keyOf(execution: ExecutionKey): string {
  return `${execution.entityType}/${execution.executionId}`;
}

function insert(journal: JournalEntry[], entry: JournalEntry): void {
  // Nearly always the last one: found in one step from the end.
  let at = journal.length;
  while (at > 0 && (journal[at - 1] as JournalEntry).ordinal > entry.ordinal) at -= 1;
  if (at > 0 && journal[at - 1]?.ordinal === entry.ordinal) return;
  journal.splice(at, 0, entry);
}
