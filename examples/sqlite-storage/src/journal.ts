// The tables of journals and of what they say that their executions are found by. Each function runs in its caller's
// transaction.

import type {
  AttributeValue,
  ExecutionKey,
  JournalEntry,
  JournalEvent,
  StepKind,
} from "@holdfast/core/adapter";
import { assertStorable } from "./errors.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";

interface JournalRow {
  readonly ordinal: number;
  readonly position: number;
  readonly kind: string;
  readonly name: string;
  readonly event: string;
  readonly data: string;
}

const OF_EXECUTION = "entity_type = :entityType AND execution_id = :executionId";

/** The parameters that name an execution: SQLite takes none that the statement does not have, and a key may have more. */
export function named({
  entityType,
  executionId,
}: ExecutionKey): Pick<ExecutionKey, "entityType" | "executionId"> {
  return { entityType, executionId };
}

/** Appends entries; those whose ordinals are there stay as they were. Returns how many were not there. */
export function appendEntries(
  connection: SqliteConnection,
  execution: ExecutionKey,
  entries: readonly JournalEntry[],
): number {
  let added = 0;
  for (const { ordinal, position, kind, name, event } of entries) {
    const [type, data] = eventColumns(event);
    const isNew =
      connection.run(
        `INSERT INTO holdfast_journal (entity_type, execution_id, ordinal, position, kind, name, event, data)
           VALUES (:entityType, :executionId, :ordinal, :position, :kind, :name, :type, :data) ON CONFLICT DO NOTHING`,
        { ...named(execution), ordinal, position, kind, name, type, data },
      ) > 0;
    if (!isNew) continue;
    added += 1;
    if (kind === "attributes" && event.type === "completed")
      setAttributes(connection, execution, event.value);
  }
  return added;
}

export function readEntries(connection: SqliteConnection, execution: ExecutionKey): readonly JournalEntry[] {
  return connection
    .all<JournalRow>(`SELECT * FROM holdfast_journal WHERE ${OF_EXECUTION} ORDER BY ordinal`, {
      ...named(execution),
    })
    .map(({ ordinal, position, kind, name, event, data }) => {
      return { ordinal, position, kind: kind as StepKind, name, event: eventOf(event, data) };
    });
}

/** The highest ordinal of a journal, or -1. */
export function lastOrdinal(connection: SqliteConnection, execution: ExecutionKey): number {
  const row = connection.get<{ last: number | null }>(
    `SELECT max(ordinal) AS last FROM holdfast_journal WHERE ${OF_EXECUTION}`,
    named(execution),
  );
  return row?.last ?? -1;
}

export function forgetEntriesBelow(
  connection: SqliteConnection,
  execution: ExecutionKey,
  ordinal: number,
): void {
  connection.run(`DELETE FROM holdfast_journal WHERE ${OF_EXECUTION} AND ordinal < :ordinal`, {
    ...named(execution),
    ordinal,
  });
}

export function forgetEntries(
  connection: SqliteConnection,
  execution: ExecutionKey,
  ordinals: readonly number[],
): void {
  connection.run(
    `DELETE FROM holdfast_journal WHERE ${OF_EXECUTION} AND ordinal IN (SELECT value FROM json_each(:ordinals))`,
    { ...named(execution), ordinals: JSON.stringify(ordinals) },
  );
}

/** Forgets the journal and the attributes of an execution. */
export function forgetJournal(connection: SqliteConnection, execution: ExecutionKey): void {
  connection.run(`DELETE FROM holdfast_journal WHERE ${OF_EXECUTION}`, named(execution));
  connection.run(`DELETE FROM holdfast_attributes WHERE ${OF_EXECUTION}`, named(execution));
}

/** @throws {SerializationError} */
export function assertStorableEntry({ kind, name, event }: JournalEntry): void {
  assertStorable(name, "The name of a step");
  if (kind !== "attributes" || event.type !== "completed") return;
  for (const attribute of Object.keys(JSON.parse(event.value) as object))
    assertStorable(attribute, "The name of an attribute");
}

/** @param changes a JSON object of values, and nulls for what goes away */
function setAttributes(connection: SqliteConnection, execution: ExecutionKey, changes: string): void {
  const given = JSON.parse(changes) as Readonly<Record<string, AttributeValue | null>>;
  for (const [name, value] of Object.entries(given)) {
    if (value === null) {
      connection.run(`DELETE FROM holdfast_attributes WHERE ${OF_EXECUTION} AND name = :name`, {
        ...named(execution),
        name,
      });
    } else {
      connection.run(
        `INSERT INTO holdfast_attributes (entity_type, execution_id, name, value)
           VALUES (:entityType, :executionId, :name, :value)
           ON CONFLICT (entity_type, execution_id, name) DO UPDATE SET value = excluded.value`,
        { ...named(execution), name, value: JSON.stringify(value) },
      );
    }
  }
}

function eventColumns(event: JournalEvent): [type: string, data: string] {
  if (event.type === "completed") return [event.type, event.value];
  const { type, ...rest } = event;
  return [type, JSON.stringify(rest)];
}

function eventOf(type: string, data: string): JournalEvent {
  if (type === "completed") return { type, value: data };
  return { type, ...(JSON.parse(data) as object) } as JournalEvent;
}
