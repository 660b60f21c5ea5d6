// The table of requests: finding, adding and forgetting them. Each function runs in its caller's transaction.

import type { Envelope } from "@holdfast/core/adapter";
import { columnsOf, type RequestRow } from "./request-row.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";

export function findRequest(connection: SqliteConnection, requestId: string): RequestRow | undefined {
  return connection.get<RequestRow>("SELECT * FROM holdfast_requests WHERE request_id = :requestId", {
    requestId,
  });
}

export function findByKey(
  connection: SqliteConnection,
  entity: { readonly entityType: string; readonly entityId: string },
  tag: string,
  deduplicationKey: string,
): RequestRow | undefined {
  return connection.get<RequestRow>(
    `SELECT * FROM holdfast_requests WHERE entity_type = :entityType AND entity_id = :entityId AND tag = :tag
       AND deduplication_key = :deduplicationKey`,
    { entityType: entity.entityType, entityId: entity.entityId, tag, deduplicationKey },
  );
}

/** The request that this one is, under its id or its key. */
export function findSame(connection: SqliteConnection, envelope: Envelope): RequestRow | undefined {
  const { requestId, address, tag, deduplicationKey } = envelope;
  const known = findRequest(connection, requestId);
  if (known !== undefined || deduplicationKey === null) return known;
  return findByKey(connection, address, tag, deduplicationKey);
}

const COLUMNS = [
  "request_id",
  "shard_id",
  "entity_type",
  "entity_id",
  "tag",
  "deduplication_key",
  "headers",
  "expects",
  "uninterruptible",
  "from_inside",
  "read_pending_first",
  "sender",
  "deliver_at",
  "payload",
  "attempts",
];

/** Adds a request that is none of those here, and returns its sequence. */
export function addRequest(connection: SqliteConnection, envelope: Envelope, attempts: number): number {
  const added = connection.get<{ sequence: number }>(
    `INSERT INTO holdfast_requests (${COLUMNS.join(", ")}, due_at)
       VALUES (${COLUMNS.map((column) => `:${column}`).join(", ")}, :deliver_at) RETURNING sequence`,
    { ...columnsOf(envelope), attempts },
  );
  return (added as { sequence: number }).sequence;
}

export function forgetRequest(connection: SqliteConnection, sequence: number): void {
  connection.run("DELETE FROM holdfast_requests WHERE sequence = :sequence", { sequence });
}

/** Takes back what became of a request, and makes it pending and due, with no attempts on its count. */
export function handleAgain(connection: SqliteConnection, sequence: number, attempts = 0): void {
  connection.run(
    `UPDATE holdfast_requests SET state = 'pending', attempts = :attempts, due_at = NULL, ended_at = NULL, is_ok = NULL,
       is_cancelled = 0, outcome = NULL WHERE sequence = :sequence`,
    { sequence, attempts },
  );
}
