// MemoryWorkflowStorage: one session's handle on the journals and executions in the memory of one process
// (memory-journals.ts, memory-executions.ts).

import type {
  ExecutionKey,
  ExecutionQuery,
  ExecutionTags,
  StoredExecution,
  WorkflowStorage,
} from "../adapter/workflow-storage.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import type { ExecutionRecord } from "../data/execution-record.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import type { MemoryExecutions } from "./memory-executions.ts";
import type { MemoryJournals } from "./memory-journals.ts";
import { refuse } from "./memory-message-storage.ts";
import type { MemorySession } from "./memory-session.ts";

/** One session's handle on the journals and executions. */
export class MemoryWorkflowStorage implements WorkflowStorage {
  readonly #journals: MemoryJournals;
  readonly #executions: MemoryExecutions;
  readonly #session: MemorySession;

  constructor(journals: MemoryJournals, executions: MemoryExecutions, session: MemorySession) {
    this.#journals = journals;
    this.#executions = executions;
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

  async readExecution(execution: ExecutionKey, tags: ExecutionTags): Promise<StoredExecution> {
    this.#session.assertOpen("readExecution");
    return this.#executions.read(execution, tags);
  }

  async trimExecution(
    execution: ExecutionKey,
    trim: {
      readonly belowOrdinal: number;
      readonly requestIds: readonly string[];
      readonly answeredBefore: number;
    },
    fence: Fence,
  ): Promise<void> {
    this.#session.assertOpen("trimExecution");
    this.#executions.trim(execution, trim, fence);
  }

  async listExecutions(query: ExecutionQuery): Promise<readonly ExecutionRecord[]> {
    this.#session.assertOpen("listExecutions");
    return this.#executions.list(query);
  }

  async reopenExecution(
    execution: ExecutionKey,
    requestId: string,
    changes: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): Promise<EntityAddress | null> {
    this.#session.assertOpen("reopenExecution");
    return this.#executions.reopen(execution, requestId, changes);
  }
}
