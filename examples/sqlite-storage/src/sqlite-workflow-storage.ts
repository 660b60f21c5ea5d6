// SqliteWorkflowStorage: executions in SQLite, each of them a request with a journal, attributes and an inbox.

import {
  firstRequestIdOf,
  PersistenceError,
  type EntityAddress,
  type ExecutionKey,
  type ExecutionQuery,
  type ExecutionRecord,
  type ExecutionStatus,
  type ExecutionTags,
  type Fence,
  type JournalEntry,
  type StorageTransaction,
  type StoredExecution,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { assertStorable, isStorable } from "./errors.ts";
import {
  appendEntries,
  assertStorableEntry,
  forgetEntries,
  forgetEntriesBelow,
  lastOrdinal,
  named,
  readEntries,
} from "./journal.ts";
import { envelopeOf, type RequestRow } from "./request-row.ts";
import { findRequest, handleAgain } from "./requests.ts";
import { checkFence, type SqliteSession } from "./sqlite-session.ts";
import { openedHere } from "./sqlite-transaction.ts";

const OF_EXECUTION = "entity_type = :entityType AND entity_id = :executionId";

const STATUS = `CASE
  WHEN state = 'dead' OR (state = 'answered' AND is_ok = 0 AND is_cancelled = 0) THEN 'failed'
  WHEN state = 'answered' THEN iif(is_ok = 1, 'completed', 'cancelled')
  WHEN coalesce(due_at, 0) > :now THEN 'suspended'
  ELSE iif(attempts > 0, 'running', 'pending') END`;

interface ListedRow extends RequestRow {
  readonly status: ExecutionStatus;
  /** A JSON object of texts, each of them a value as JSON. */
  readonly attributes: string;
}

export class SqliteWorkflowStorage implements WorkflowStorage {
  readonly #session: SqliteSession;

  constructor(session: SqliteSession) {
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
      for (const entry of entries) assertStorableEntry(entry);
    } catch (error) {
      await opened?.rollback();
      throw error;
    }
    if (opened?.hasBegun !== true) {
      // Nothing was written in it: the entries need no transaction of the activity's.
      await opened?.rollback();
      await this.#session.write("appendJournal", (connection) => {
        checkFence(connection, fence);
        appendEntries(connection, execution, entries);
      });
      return;
    }
    await opened.commitAfter("appendJournal", (connection) => {
      checkFence(connection, fence);
      if (appendEntries(connection, execution, entries) === entries.length) return;
      throw new PersistenceError({
        operation: "appendJournal",
        // An earlier attempt's commit, of which nobody heard, may be what is there: only reading the journal tells.
        outcome: "unknown",
        detail: "an entry of one of these ordinals is there already, so the transaction was rolled back",
      });
    });
  }

  async readExecution(execution: ExecutionKey, tags: ExecutionTags): Promise<StoredExecution> {
    return this.#session.read("readExecution", (connection) => {
      const inbox = connection.all<RequestRow>(
        `SELECT * FROM holdfast_requests WHERE ${OF_EXECUTION} AND deduplication_key IS NOT NULL
           AND tag IN (SELECT value FROM json_each(:inbox))
           AND sequence > (SELECT min(sequence) FROM holdfast_requests
             WHERE ${OF_EXECUTION} AND deduplication_key IS NOT NULL AND tag = :tag)
           ORDER BY sequence`,
        { ...named(execution), inbox: JSON.stringify(tags.inbox), tag: tags.execution },
      );
      return {
        entries: readEntries(connection, execution),
        inbox: inbox.map(({ request_id: requestId, tag, payload }) => ({ requestId, tag, payload })),
      };
    });
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
    await this.#session.write("trimExecution", (connection) => {
      checkFence(connection, fence);
      forgetEntriesBelow(connection, execution, trim.belowOrdinal);
      connection.run(
        `DELETE FROM holdfast_requests WHERE ${OF_EXECUTION} AND state = 'answered' AND ended_at < :answeredBefore
           AND (deduplication_key IS NULL OR request_id IN (SELECT value FROM json_each(:requestIds)))`,
        {
          ...named(execution),
          answeredBefore: trim.answeredBefore,
          requestIds: JSON.stringify(trim.requestIds),
        },
      );
    });
  }

  async listExecutions(query: ExecutionQuery): Promise<readonly ExecutionRecord[]> {
    if (query.executionId !== null && !isStorable(query.executionId)) return [];
    const { startedFrom, startedBefore } = query;
    const wanted = Object.entries(query.attributes).map(([name, value]) => [name, JSON.stringify(value)]);
    const rows = await this.#session.read("listExecutions", (connection) =>
      connection.all<ListedRow>(
        `SELECT *, (SELECT json_group_object(name, value) FROM holdfast_attributes
             WHERE entity_type = listed.entity_type AND execution_id = listed.entity_id) AS attributes
           FROM (SELECT *, ${STATUS} AS status FROM holdfast_requests
             WHERE entity_type = :entityType AND tag = :tag AND deduplication_key IS NOT NULL
               AND (:executionId IS NULL OR entity_id = :executionId)
               AND (:from IS NULL OR request_id >= :from) AND (:before IS NULL OR request_id < :before)
               AND (:after IS NULL OR request_id < :after)) AS listed
           WHERE (:status IS NULL OR status = :status)
             AND NOT EXISTS (SELECT 1 FROM json_each(:wanted) AS w WHERE NOT EXISTS (
               SELECT 1 FROM holdfast_attributes WHERE entity_type = listed.entity_type
                 AND execution_id = listed.entity_id AND name = w.value ->> 0 AND value = w.value ->> 1))
           ORDER BY request_id DESC LIMIT :limit`,
        {
          entityType: query.entityType,
          tag: query.tag,
          executionId: query.executionId,
          status: query.status,
          from: startedFrom === null ? null : firstRequestIdOf(startedFrom),
          before: startedBefore === null ? null : firstRequestIdOf(startedBefore),
          after: query.after,
          wanted: JSON.stringify(wanted),
          now: query.now,
          limit: query.limit,
        },
      ),
    );
    return rows.map(recordOf);
  }

  async reopenExecution(
    execution: ExecutionKey,
    requestId: string,
    { forget, entry }: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): Promise<EntityAddress | null> {
    assertStorableEntry(entry);
    return this.#session.write("reopenExecution", (connection) => {
      const request = findRequest(connection, requestId);
      const isExecution =
        request?.entity_type === execution.entityType && request.entity_id === execution.executionId;
      if (!isExecution || request.state !== "answered" || request.is_ok === 1) return null;
      if (lastOrdinal(connection, execution) >= entry.ordinal) return null;
      handleAgain(connection, request.sequence);
      forgetEntries(connection, execution, forget);
      appendEntries(connection, execution, [entry]);
      return envelopeOf(request).address;
    });
  }
}

function recordOf(row: ListedRow): ExecutionRecord {
  const attributes = Object.entries(JSON.parse(row.attributes) as Readonly<Record<string, string>>);
  return {
    envelope: envelopeOf(row),
    status: row.status,
    endedAt: row.ended_at,
    dueAt: row.status === "suspended" ? row.due_at : null,
    attributes: Object.fromEntries(
      attributes.map(([name, value]) => [name, JSON.parse(value) as ExecutionRecord["attributes"][string]]),
    ),
  };
}
