// PostgresWorkflowStorage: executions in PostgreSQL.
//
// Journals are appended with the group commit, or with a handler's transaction; the rest are single calls. What listings
// filter by follows the journal in the database (migration-4.ts), whoever appends to it.

import {
  CANCELLED_CODE,
  firstRequestIdOf,
  PersistenceError,
  type EntityAddress,
  type ExecutionKey,
  type ExecutionQuery,
  type ExecutionRecord,
  type ExecutionTags,
  type Fence,
  type JournalEntry,
  type ShardId,
  type StorageTransaction,
  type StoredExecution,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { assertStorable, isStorable } from "./errors.ts";
import { executionOf, storedOf, type ExecutionRow, type StoredRow } from "./execution-row.ts";
import { journalKeyOf } from "./journal-key.ts";
import { openedHere } from "./postgres-message-storage.ts";
import type { PostgresSession } from "./postgres-session.ts";
import { plainArray, textArray } from "./sql-array.ts";
import type { WakeUps } from "./wake-ups.ts";
import { errorBeginning, eventColumns } from "./write-group.ts";

export class PostgresWorkflowStorage implements WorkflowStorage {
  readonly #session: PostgresSession;
  readonly #wakeUps: WakeUps | null;

  /** @param wakeUps null where no other process could save anything */
  constructor(session: PostgresSession, wakeUps: WakeUps | null) {
    this.#session = session;
    this.#wakeUps = wakeUps;
  }

  // Not async, since every step waits for it: that would take half a kilobyte more for as long.
  appendJournal(
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void> {
    if (transaction !== null) return this.#appendIn(transaction, execution, entries, fence);
    try {
      assertStorableEntries(execution, entries);
    } catch (error) {
      return Promise.reject(error);
    }
    const op = { type: "journal", execution, key: journalKeyOf(execution), entries, fence } as const;
    return this.#session.append("appendJournal", op);
  }

  async #appendIn(
    transaction: StorageTransaction,
    execution: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
  ): Promise<void> {
    const opened = await openedHere(transaction);
    try {
      assertStorableEntries(execution, entries);
    } catch (error) {
      await opened.rollback();
      throw error;
    }
    const op = { type: "journal", execution, key: journalKeyOf(execution), entries, fence } as const;
    if (!opened.hasBegun) {
      // Nothing was written in it: the entries need no transaction of their own.
      await opened.rollback();
      await this.#session.append("appendJournal", op);
      return;
    }
    const isRecorded = async (): Promise<boolean> => {
      const recorded = await this.readExecution(execution, { execution: "", inbox: [] });
      const there = new Set(recorded.entries.map(({ ordinal }) => ordinal));
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

  async readExecution(execution: ExecutionKey, tags: ExecutionTags): Promise<StoredExecution> {
    const { entityType, executionId } = execution;
    const rows = await this.#session.read<StoredRow>("readExecution", "read_execution_v4", [
      entityType,
      executionId,
      tags.execution,
      textArray(tags.inbox),
    ]);
    return storedOf(rows);
  }

  async trimExecution(
    { entityType, executionId }: ExecutionKey,
    trim: {
      readonly belowOrdinal: number;
      readonly requestIds: readonly string[];
      readonly answeredBefore: number;
    },
    fence: Fence,
  ): Promise<void> {
    await this.#session.callFenced(
      "trimExecution",
      "trim_execution_v4",
      [
        fence.shardId,
        fence.epoch,
        entityType,
        executionId,
        trim.belowOrdinal,
        textArray(trim.requestIds),
        Math.floor(trim.answeredBefore),
      ],
      fence,
    );
  }

  async listExecutions(query: ExecutionQuery): Promise<readonly ExecutionRecord[]> {
    if (query.executionId !== null && !isStorable(query.executionId)) return [];
    const { startedFrom, startedBefore, after } = query;
    const attributes = Object.entries(query.attributes);
    const below = [after, startedBefore === null ? null : firstRequestIdOf(startedBefore)].filter(
      (bound) => bound !== null,
    );
    const rows = await this.#session.read<ExecutionRow>("listExecutions", "list_executions_v4", [
      query.entityType,
      query.tag,
      query.executionId,
      query.status,
      startedFrom === null ? null : firstRequestIdOf(startedFrom),
      below.toSorted()[0] ?? null,
      textArray(attributes.map(([name]) => name)),
      textArray(attributes.map(([, value]) => JSON.stringify(value))),
      Math.floor(query.now),
      query.limit,
      errorBeginning(CANCELLED_CODE),
    ]);
    return rows.map(executionOf);
  }

  async reopenExecution(
    { entityType, executionId }: ExecutionKey,
    requestId: string,
    { forget, entry }: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): Promise<EntityAddress | null> {
    assertStorableEntry(entry);
    const [row] = await this.#session.call<{ shard_id: string }>("reopenExecution", "reopen_execution_v4", [
      entityType,
      executionId,
      requestId,
      plainArray(forget),
      entry.ordinal,
      entry.position,
      entry.kind,
      entry.name,
      ...eventColumns(entry.event),
    ]);
    if (row === undefined) return null;
    const shardId = row.shard_id as ShardId;
    this.#wakeUps?.announce(shardId);
    return { entityType, entityId: executionId, shardId };
  }
}

/** @throws {SerializationError} */
function assertStorableEntries({ executionId }: ExecutionKey, entries: readonly JournalEntry[]): void {
  assertStorable(executionId, "The id of an execution");
  for (const entry of entries) assertStorableEntry(entry);
}

/** @throws {SerializationError} */
function assertStorableEntry({ kind, name, event }: JournalEntry): void {
  assertStorable(name, "The name of a step");
  if (kind !== "attributes" || event.type !== "completed") return;
  for (const [attribute, value] of Object.entries(JSON.parse(event.value) as object)) {
    assertStorable(attribute, "The name of an attribute");
    if (typeof value === "string") assertStorable(value, `The attribute ${attribute}`);
  }
}
