/** Literals, quoted names, comments and bodies. What is not closed goes on to the end: so each place is read once. */
const OPAQUE = /'[^']*'|"[^"]*"|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$([a-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)/gi;

/**
 * PostgreSQL 18, "SQL Commands". `end` and `abort` are other words for COMMIT and ROLLBACK; ROLLBACK TO goes back to a savepoint, and
 * leaves the transaction open.
 */
const CONTROL =
  /(?:^|;)\s*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;

/** The body of a function that is no literal ends with END. */
const BODY = /\bbegin\s+atomic\b/i;

/** The command by which a text begins or ends a transaction, as it is written; null: it leaves transactions as they are. */
export function transactionCommandOf(text: string): string | null {
  const plain = text.replace(OPAQUE, " ");
  return BODY.test(plain) ? null : (CONTROL.exec(plain)?.[1] ?? null);
}
