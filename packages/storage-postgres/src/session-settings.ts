// Session settings: what bounds the locks and statements of our sessions, so that a runner that stopped halfway holds up
// nobody for longer than that.

import type { PostgresSettings } from "./options.ts";

/** The server gives up before the caller does: then its answer says that nothing was written. */
const SERVER_SHARE = 0.8;

type Limits = Pick<PostgresSettings, "lockTimeoutMs" | "statementDeadlineMs" | "idleTransactionTimeoutMs">;

/** In milliseconds, as parameters of a new session. A pooler would not keep them: there they are set in each transaction. */
export function sessionSettings(limits: Limits): Readonly<Record<string, number>> {
  return {
    lock_timeout: limits.lockTimeoutMs,
    statement_timeout: Math.max(10, Math.floor(limits.statementDeadlineMs * SERVER_SHARE)),
    idle_in_transaction_session_timeout: limits.idleTransactionTimeoutMs,
  };
}

/** How long a new connection may take, in milliseconds. */
export function connectDeadline({ statementDeadlineMs }: Limits): number {
  return Math.min(statementDeadlineMs, 10_000);
}

/**
 * What begins a transaction.
 *
 * @param isOurs whether the session has our settings already
 */
export function beginText(limits: Limits, isOurs: boolean): string {
  const settings = isOurs
    ? []
    : Object.entries(sessionSettings(limits)).map(([name, ms]) => `SET LOCAL ${name} = ${ms}`);
  return ["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", ...settings].join("; ");
}
