import {
  PersistenceError,
  type ExecutionKey,
  type Fence,
  type JournalEntry,
  type StepKind,
  type StorageTransaction,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { assertStorable } from "./errors.ts";
import { openedHere } from "./postgres-message-storage.ts";
import type { PostgresSession } from "./postgres-session.ts";
import { eventOf } from "./write-group.ts";

interface JournalRow {
  readonly ordinal: number;
  readonly position: number;
  readonly kind: string;
  readonly name: string;
  readonly event: string;
  readonly data: string;
}

/** Journals in PostgreSQL: appended with the group commit, or with a handler's transaction, read in one statement. */
export class PostgresWorkflowStorage implements WorkflowStorage {
  readonly #session: PostgresSession;

  constructor(session: PostgresSession) {
    this.#session = session;
  }

  async appendJournal(
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void> {
    const opened = transaction === null ? null : await openedHere(transaction);
    try {
      assertStorable(execution.executionId, "The id of an execution");
      for (const { name } of entries) assertStorable(name, "The name of a step");
    } catch (error) {
      await opened?.rollback();
      throw error;
    }
    const op = { type: "journal", execution, entries, fence } as const;
    if (opened?.hasBegun !== true) {
      // Nothing was written in it: the entries need no transaction of their own.
      await opened?.rollback();
      await this.#session.write("appendJournal", op);
      return;
    }
    const isRecorded = async (): Promise<boolean> => {
      const there = new Set((await this.readJournal(execution)).map(({ ordinal }) => ordinal));
      return entries.every(({ ordinal }) => there.has(ordinal));
    };
    if ((await this.#session.commit("appendJournal", op, opened, isRecorded)) !== "refused") return;
    throw new PersistenceError({
      operation: "appendJournal",
      // An earlier attempt's commit, of which nobody heard, may be what is there: only reading the journal tells.
      outcome: "unknown",
      detail: `an entry with one of these ordinals is there already, so the transaction was rolled back; read the journal again`,
    });
  }

  async readJournal(execution: ExecutionKey): Promise<readonly JournalEntry[]> {
    const { entityType, executionId } = execution;
    const rows = await this.#session.read<JournalRow>("readJournal", "read_journal_v1", [
      entityType,
      executionId,
    ]);
    return rows.map(({ ordinal, position, kind, name, event, data }) => ({
      ordinal,
      position,
      kind: kind as StepKind,
      name,
      event: eventOf(event, data),
    }));
  }
}
