// ExecutionRow: how executions, their journals and their inboxes come out of the database.

import type {
  ExecutionRecord,
  ExecutionStatus,
  InboxMessage,
  JournalEntry,
  StepKind,
  StoredExecution,
} from "@holdfast/core/adapter";
import { envelopeOf, numberOf, type EnvelopeRow } from "./request-row.ts";
import { eventOf } from "./write-group.ts";

/** An entry of the journal, or a request of the inbox. */
export type StoredRow =
  | {
      readonly ordinal: number;
      readonly position: number;
      readonly kind: string;
      readonly name: string;
      readonly event: string;
      readonly data: string;
    }
  | ({ readonly ordinal: null } & {
      readonly request_id: string;
      readonly tag: string;
      readonly payload: string;
    });

export interface ExecutionRow extends EnvelopeRow {
  readonly status: string;
  readonly ended_at: EnvelopeRow["deliver_at"];
  readonly due_at: EnvelopeRow["deliver_at"];
  /** Null: it has none. */
  readonly attributes: string | null;
}

export function storedOf(rows: readonly StoredRow[]): StoredExecution {
  const entries: JournalEntry[] = [];
  const inbox: InboxMessage[] = [];
  for (const row of rows) {
    if (row.ordinal === null) {
      const { request_id: requestId, tag, payload } = row;
      inbox.push({ requestId, tag, payload });
    } else {
      const { ordinal, position, kind, name, event, data } = row;
      entries.push({ ordinal, position, kind: kind as StepKind, name, event: eventOf(event, data) });
    }
  }
  return { entries, inbox };
}

export function executionOf(row: ExecutionRow): ExecutionRecord {
  return {
    envelope: envelopeOf(row),
    status: row.status as ExecutionStatus,
    endedAt: numberOf(row.ended_at),
    dueAt: numberOf(row.due_at),
    attributes: JSON.parse(row.attributes ?? "{}") as ExecutionRecord["attributes"],
  };
}
