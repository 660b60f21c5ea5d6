import type { ForgetQuery } from "@holdfast/core/adapter";
import { forgetJournal } from "./journal.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";

/** Forgets what was answered long ago; with an execution everything that is known of it. Chunks go with their requests. */
export function forgetAnswered(
  connection: SqliteConnection,
  { entityType, answeredBefore, limit, executionTag }: ForgetQuery,
): number {
  const old = connection.all<{ sequence: number; entity_id: string }>(
    `SELECT sequence, entity_id FROM holdfast_requests WHERE state = 'answered' AND entity_type = :entityType
       AND ended_at < :answeredBefore AND (:executionTag IS NULL OR tag = :executionTag)
       ORDER BY ended_at LIMIT :limit`,
    { entityType, answeredBefore, limit, executionTag: executionTag ?? null },
  );
  for (const { sequence, entity_id: entityId } of old) {
    if (executionTag === undefined) {
      connection.run("DELETE FROM holdfast_requests WHERE sequence = :sequence", { sequence });
      continue;
    }
    connection.run(
      "DELETE FROM holdfast_requests WHERE entity_type = :entityType AND entity_id = :entityId",
      {
        entityType,
        entityId,
      },
    );
    forgetJournal(connection, { entityType, executionId: entityId });
  }
  return old.length;
}
