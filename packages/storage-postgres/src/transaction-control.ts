/**
 * PostgreSQL 18, "SQL Commands". `end` and `abort` are other words for COMMIT and ROLLBACK; ROLLBACK TO goes back to a savepoint, and
 * leaves the transaction open. What stands before it may be blank, a comment, or an empty statement.
 */
const CONTROL =
  /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;

/** The command by which a statement begins or ends a transaction, as it is written; null: it leaves transactions as they are. */
export function transactionCommandOf(text: string): string | null {
  return CONTROL.exec(text)?.[1] ?? null;
}
