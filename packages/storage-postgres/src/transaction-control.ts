/**
 * PostgreSQL 18, "SQL Commands". `end` and `abort` are other words for COMMIT and ROLLBACK; ROLLBACK TO goes back to a savepoint, and
 * leaves the transaction open. What stands before it may be blank, a comment, or an empty statement.
 */
const CONTROL =
  /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;

/** Behind another statement, and surely not in the body of a function: there the others have another meaning. */
const LATER = /;\s*(commit|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;

/**
 * The command by which a text begins or ends a transaction, as it is written; null: it leaves transactions as they are.
 *
 * @param mayBeSeveral whether the text may be of several statements: one with parameters is of one
 */
export function transactionCommandOf(text: string, mayBeSeveral: boolean): string | null {
  return CONTROL.exec(text)?.[1] ?? (mayBeSeveral ? LATER.exec(text)?.[1] : undefined) ?? null;
}
