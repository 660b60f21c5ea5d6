// Errors: the drivers' errors turned into ours. None of theirs gets out, save to a handler for a statement of its own.

import {
  ConfigError,
  FencedError,
  PersistenceError,
  SerializationError,
  type Fence,
} from "@holdfast/core/adapter";

/** The first of our own SQLSTATEs, HF001 and so on, which the functions of the schema raise in a transaction that must not commit. */
export const FENCED_STATE = "HF001";

/** A statement failed. Stays inside this package: storages turn it into PersistenceError, which names their operation. */
export class SqlFailure extends Error {
  override readonly name = "SqlFailure";
  /** `not-written` if its transaction surely did not commit. */
  readonly outcome: "not-written" | "unknown";
  /** The server's five-character code, or null where the failure was not the server's. */
  readonly sqlState: string | null;
  /** The server's DETAIL. May hold values: for our own states only, never for messages. */
  readonly serverDetail: string | null;
  /** What was violated, as `schema.constraint`. */
  readonly constraint: string | null;
  /** Of an unknown outcome: the server process is gone, so that what is not written now never will be. */
  readonly isSettled: boolean;
  /** The server refused COMMIT itself: every statement before it had passed. */
  readonly isOfCommit: boolean;

  constructor(
    failure: {
      outcome: "not-written" | "unknown";
      sqlState: string | null;
      message: string;
      serverDetail?: string | null;
      constraint?: string | null;
      isSettled?: boolean;
      isOfCommit?: boolean;
    },
    options?: ErrorOptions,
  ) {
    super(failure.message, options);
    this.outcome = failure.outcome;
    this.sqlState = failure.sqlState;
    this.serverDetail = failure.serverDetail ?? null;
    this.constraint = failure.constraint ?? null;
    this.isSettled = failure.isSettled ?? false;
    this.isOfCommit = failure.isOfCommit ?? false;
  }
}

/** A parser that the user set for a type threw: the statement was carried out, and its session and transaction go on. */
export class UnreadValue extends Error {
  override readonly name = "UnreadValue";
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    super(describe(thrown));
    this.thrown = thrown;
  }
}

/**
 * What became of a statement, from the driver's error.
 *
 * An ERROR is the server's word that the transaction is undone. FATAL and PANIC end the session at a moment that may lie
 * after the commit, and a broken connection says nothing at all.
 *
 * @param wasSent whether the server may have seen the statement
 * @param isSettled whether the server process is gone since
 */
export function failureOf(error: unknown, wasSent: boolean, isSettled = false): SqlFailure {
  if (error instanceof SqlFailure) return error;
  const sqlState = sqlStateOf(error);
  const message = sqlState === null ? describe(error) : `${sqlState}: ${describe(error)}`;
  const outcome = !wasSent || isPlainError(error) ? "not-written" : "unknown";
  return new SqlFailure(
    {
      outcome,
      sqlState,
      message,
      serverDetail: fieldOf(error, "detail"),
      constraint: constraintOf(error),
      isSettled,
    },
    { cause: error },
  );
}

/** The failure of what surely wrote nothing. */
export function undone(error: unknown): SqlFailure {
  return failureKnown(error, { outcome: "not-written" });
}

/** The failure of a transaction of which nobody knows whether it committed. */
export function unsure(error: unknown, isSettled: boolean): SqlFailure {
  return failureKnown(error, { outcome: "unknown", isSettled });
}

/** What became of a transaction whose last statement had passed, from what COMMIT failed with. */
export function failureOfCommit(error: unknown): SqlFailure {
  const { outcome } = failureOf(error, true);
  return failureKnown(error, { outcome, isOfCommit: outcome === "not-written" });
}

/** A failure of which more is known than its error says. */
function failureKnown(
  error: unknown,
  known: Pick<SqlFailure, "outcome"> & Partial<Pick<SqlFailure, "isSettled" | "isOfCommit">>,
): SqlFailure {
  const { sqlState, message, serverDetail, constraint } = failureOf(error, true);
  return new SqlFailure({ sqlState, message, serverDetail, constraint, ...known }, { cause: error });
}

/** An error as a server has it that says that a statement is at fault, and not the session. */
export function plainError(message: string, sqlState: string): Error {
  return Object.assign(new Error(message), { code: sqlState, severity: "ERROR" });
}

/** Classes of SQLSTATEs with which a session may end: from those of connections to internal errors. */
const MAY_END_SESSION = /^(?:08|28|3D|53|57P|58|F0|XX|25P0[34])/;

/**
 * Whether the session lives after this error: the server refused a statement, and that was all. `pg` tells the severity in the
 * server's language (lc_messages): where that is not English the SQLSTATE says.
 */
export function isPlainError(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  const severity = fieldOf(error, "severity");
  if (sqlState === null || severity === null) return false;
  // Old PgBouncers end a session with an ERROR, also while a COMMIT is under way. Of a server's it names the routine.
  if (severity === "ERROR") return !sqlState.startsWith("08") || fieldOf(error, "routine") !== null;
  return severity !== "FATAL" && severity !== "PANIC" && !MAY_END_SESSION.test(sqlState);
}

/**
 * Whether a session that lives is of no more use after this error: the server takes no writes on it, as one that is a standby
 * since a failover, or its prepared statements are gone (DEALLOCATE ALL), which the client library goes on asking for.
 */
export function isSpoilt(error: unknown): boolean {
  return isReadOnly(error) || isForgotten(error);
}

/** Whether a prepared statement is gone from its session: on another one it can be prepared anew. */
export function isForgotten(error: unknown): boolean {
  return sqlStateOf(error) === "26000";
}

/** Whether the server takes no writes on this session, or in this transaction. */
export function isReadOnly(error: unknown): boolean {
  return sqlStateOf(error) === "25006";
}

/** Whether the server has no room on its disk: the storage's failure, and not the statement's. */
export function isDiskFull(error: unknown): boolean {
  return sqlStateOf(error) === "53100";
}

/** Whether a statement failed since one before it in its transaction had. */
export function isAborted(error: unknown): boolean {
  return sqlStateOf(error) === "25P02";
}

/** Whether a statement of a group may have failed on its own account, so that the others can pass without it. */
export function mayBeOneRow(error: unknown): boolean {
  if (!(error instanceof SqlFailure) || error.outcome !== "not-written" || error.sqlState === null)
    return false;
  // Resources, operator, system, connection, read-only server: all of them concern every row.
  return error.sqlState === "57014" || !/^(?:08|25|53|57|58|F0|XX)/.test(error.sqlState);
}

/**
 * Whether COMMIT was refused for what the transaction had written or read: a deferred constraint, a trigger that fires then,
 * a conflict with another one. A server that commits nobody's is the storage's failure.
 */
export function isRefusedCommit(failure: SqlFailure): boolean {
  return failure.isOfCommit && mayBeOneRow(failure);
}

/** Whether a transaction failed for being in another one's way, or a table's change: the same one again may well commit. */
export function isTransient(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState === "40001" || sqlState === "40P01" || sqlState === "55P03" || isOutdated(error);
}

/** Whether a prepared statement failed since its table was altered: it can be prepared anew. */
export function isOutdated(error: unknown): boolean {
  return sqlStateOf(error) === "0A000" && fieldOf(error, "routine") === "RevalidateCachedQuery";
}

/**
 * Whether a statement may have failed since a column's type changed after it was prepared: its parameters keep the types that they
 * had then, so that it does not fit the table any more, or a value does not fit its parameter (the server's CONTEXT names that).
 */
export function mayBeOutdated(error: unknown): boolean {
  const sqlState = sqlStateOf(error) ?? "";
  if (/^42(?:804|846|883|725|P18)$/.test(sqlState)) return true;
  return sqlState.startsWith("22") && /\$\d/.test(fieldOf(error, "where") ?? "");
}

/** @param operation the method of the interface that failed */
export function persistenceError(operation: string, error: unknown): PersistenceError {
  if (error instanceof PersistenceError) return error;
  const failure = failureOf(error, true);
  return new PersistenceError(
    { operation, outcome: failure.outcome, detail: failure.message },
    { cause: failure },
  );
}

/** What PgBouncer says to settings that a session is made with, ours among them. */
const REFUSED_SETTING =
  /unsupported startup parameter: (?:statement|lock|idle_in_transaction_session)_timeout/;

/** What `open` rejects with where no session could be had, or none that is kept. */
export function openingError(error: unknown): ConfigError | PersistenceError {
  if (error instanceof ConfigError) return error;
  if (REFUSED_SETTING.test(describe(error))) return poolerConfig(error);
  return persistenceError("open", error);
}

/** The server is behind a pooler, which was not said. */
export function poolerConfig(cause?: unknown): ConfigError {
  return new ConfigError(
    {
      option: "pooler",
      got: "left out",
      takes: '"transaction", since a pooler such as PgBouncer is between',
      hint:
        "In session mode leave it out, and have PgBouncer ignore_startup_parameters = statement_timeout, lock_timeout, " +
        "idle_in_transaction_session_timeout.",
    },
    { cause },
  );
}

/** What a transaction that was lost before its COMMIT is reported with: it took everything with it. */
export function lostTransaction(error: unknown): PersistenceError {
  return persistenceError("a transaction", undone(error));
}

/** @param current the shard's epoch in storage; null where nobody ever claimed it */
export function fencedError(fence: Fence, current: number | null): FencedError {
  return new FencedError({ shardId: fence.shardId, epoch: fence.epoch, current });
}

export function closedError(operation: string): PersistenceError {
  return new PersistenceError({
    operation,
    outcome: "not-written",
    detail: "this session of the storage was closed",
  });
}

/** PostgreSQL keeps no NUL in text, and an unpaired surrogate would come back as another character. */
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

function sqlStateOf(error: unknown): string | null {
  const code = error instanceof SqlFailure ? error.sqlState : fieldOf(error, "code");
  // Node's codes have the same place: EPIPE has five characters, too, and no severity.
  return code !== null && /^[0-9A-Z]{5}$/.test(code) && fieldOf(error, "severity") !== null
    ? code
    : error instanceof SqlFailure
      ? code
      : null;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  // A refused connection to a name with two addresses comes as an AggregateError without a message.
  if (error.message !== "") return error.message;
  return fieldOf(error, "code") ?? error.name;
}

/** Of two drivers the names are shorter. */
function constraintOf(error: unknown): string | null {
  const schema = fieldOf(error, "schema") ?? fieldOf(error, "schema_name");
  const constraint = fieldOf(error, "constraint") ?? fieldOf(error, "constraint_name");
  return schema === null || constraint === null ? null : `${schema}.${constraint}`;
}

function fieldOf(error: unknown, field: string): string | null {
  if (typeof error !== "object" || error === null || !(field in error)) return null;
  const value = (error as Record<string, unknown>)[field];
  return typeof value === "string" ? value : null;
}
