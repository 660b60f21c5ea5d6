import type { ExecutionKey, ForgetQuery } from "@holdfast/core/adapter";
import { forgetJournal, named } from "./journal.ts";
import { findRequest, forgetRequest } from "./requests.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";

// What is forgotten, and what goes with it. Chunks go with their requests, by the schema.

/** Forgets what was answered long ago; with an execution everything that is known of it. */
export function forgetAnswered(
  connection: SqliteConnection,
  { entityType, answeredBefore, limit, executionTag }: ForgetQuery,
): number {
  const old = connection.all<{ sequence: number; entity_id: string; deduplication_key: string | null }>(
    `SELECT sequence, entity_id, deduplication_key FROM holdfast_requests WHERE state = 'answered' AND entity_type = :entityType
       AND ended_at < :answeredBefore AND (:executionTag IS NULL OR tag = :executionTag)
       ORDER BY ended_at LIMIT :limit`,
    { entityType, answeredBefore, limit, executionTag: executionTag ?? null },
  );
  for (const { sequence, entity_id: executionId, deduplication_key: key } of old) {
    // Another request of the tag is no execution, and must not take the execution along.
    if (executionTag === undefined || key !== executionTag) forgetRequest(connection, sequence);
    else forgetExecution(connection, { entityType, executionId });
  }
  return old.length;
}

/** Forgets a dead letter; if it is an execution, everything that is known of that. Returns whether it was one. */
export function dropDeadLetter(
  connection: SqliteConnection,
  requestId: string,
  executionTag: string | null,
): boolean {
  const request = findRequest(connection, requestId);
  if (request?.state !== "dead") return false;
  const { sequence, entity_type: entityType, entity_id: executionId, tag, deduplication_key: key } = request;
  if (tag === executionTag && key === executionTag) forgetExecution(connection, { entityType, executionId });
  else forgetRequest(connection, sequence);
  return true;
}

function forgetExecution(connection: SqliteConnection, execution: ExecutionKey): void {
  connection.run(
    "DELETE FROM holdfast_requests WHERE entity_type = :entityType AND entity_id = :executionId",
    named(execution),
  );
  forgetJournal(connection, execution);
}
