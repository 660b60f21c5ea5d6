// Errors: those of node:sqlite turned into ours. None of theirs gets out, save to a handler for a statement of its own.

import { PersistenceError, SerializationError } from "@holdfast/core/adapter";

/** Primary result codes: https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_CONSTRAINT = 19;

/** Whether another connection is in the way: the same call may pass a moment later. */
export function isBusy(error: unknown): boolean {
  return resultCodeOf(error) === SQLITE_BUSY;
}

/** Whether a constraint refused it: of a commit, a deferred one, which leaves the transaction open. */
export function isConstraint(error: unknown): boolean {
  return resultCodeOf(error) === SQLITE_CONSTRAINT;
}

/**
 * What gets out of the adapter for what was thrown inside: an error of SQLite as a PersistenceError, any other as it is.
 *
 * @param outcome what became of the write. SQLite says of a failed statement that it did nothing; of a failed COMMIT not
 *   even SQLite knows what the disk has
 */
export function outwardError(operation: string, outcome: "not-written" | "unknown", error: unknown): unknown {
  if (!isOfDatabase(error)) return error;
  return new PersistenceError({ operation, outcome, detail: error.message }, { cause: error });
}

export function notWritten(operation: string, detail: string): PersistenceError {
  return new PersistenceError({ operation, outcome: "not-written", detail });
}

/** Text ends at a NUL for some versions of Node, and half of a surrogate pair comes back as another character. */
export function isStorable(value: string): boolean {
  return !value.includes("\0") && value.isWellFormed();
}

/** @throws {SerializationError} it is not storable */
export function assertStorable(value: string, what: string): void {
  if (isStorable(value)) return;
  const problem = value.includes("\0")
    ? "a text with a NUL character"
    : "a text with half of a surrogate pair";
  throw new SerializationError({ what, path: "", problem });
}

/** Extended codes have the primary one in their last byte. */
function resultCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return null;
  return error.errcode & 0xff;
}

/** Node's own refusal, ERR_INVALID_STATE, is of a connection that was closed meanwhile. */
function isOfDatabase(error: unknown): error is Error {
  if (!(error instanceof Error) || !("code" in error)) return false;
  return error.code === "ERR_SQLITE_ERROR" || error.code === "ERR_INVALID_STATE";
}
