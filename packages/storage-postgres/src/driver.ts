// SqlDriver: all that this package asks of a way to PostgreSQL. A server is behind it, through `pg` or postgres.js
// (server-driver.ts), or PGlite (pglite-driver.ts).
//
// A driver moves statements and nothing else. It knows no table, retries nothing, and turns each failure into SqlFailure,
// which says honestly whether the statement may have taken effect.

import type { PersistenceError } from "@holdfast/core/adapter";

/** What a parameter of our own statements may be. Arrays are passed as literals (sql-array.ts), so that every driver agrees on them. */
export type SqlValue = string | number | boolean | null;

/** A statement of our own. One name always has one text: drivers that can, prepare it under that name. */
export interface SqlStatement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly SqlValue[];
  /** It writes nothing, so that nothing is to be found out after a loss. Default: false. */
  readonly isRead?: boolean;
  /** It is worth nothing late, and harmless twice. Default: false. */
  readonly isUrgent?: boolean;
}

/** What a statement gave. `rowCount` counts what was written, or for a read what was read. */
export interface SqlResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number;
}

/** One transaction at READ COMMITTED, on a session of its own until it ends. */
export interface SqlTransaction {
  /** The driver's own client or transaction, for libraries that wrap it. */
  readonly native: unknown;
  /** Why it is lost, although nobody ended it: `native` refuses with the same. Null: it is not, as far as is known. */
  readonly lostWith: PersistenceError | null;
  /** Runs a user's statement. Rejects with the driver's own error, or with `lostWith` if it is lost. */
  query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>>;
  /**
   * Runs several statements without parameters.
   *
   * @param deadlineMs after which the session counts as lost. Default: `statementDeadline`
   * @throws {SqlFailure}
   */
  script(text: string, deadlineMs?: number): Promise<void>;
  /**
   * Runs a last statement and commits if it succeeded, in one trip where the driver can. The transaction is over when
   * this settles.
   *
   * @throws {SqlFailure} rolled back (`not-written`; `isOfCommit` where the last statement had passed), or the session was lost
   *   on the way (`unknown`)
   */
  commitAfter<Row>(statement: SqlStatement): Promise<SqlResult<Row>>;
  /** Undoes everything. Safe to call twice, and after `commitAfter`. Resolves when the session is free. */
  rollback(): Promise<void>;
}

/**
 * @param begin begins the transaction; all who ask are told in their order
 * @param refusal what is not sent any more is refused with; null: it is sent
 */
export type LaterNative = (
  begin: () => Promise<Pick<SqlTransaction, "native">>,
  refusal: () => Error | null,
) => unknown;

/** What hears the notifications of one channel. */
export interface SqlListener {
  heard(payload: string): void;
  /** Notifications may have been missed: the session was lost and is listening again now. */
  resumed(): void;
}

export interface SqlDriver {
  /** How many statements are worth running at once. */
  readonly lanes: number;
  /** Whether notifications are heard at all. */
  readonly listens: boolean;
  /** Whether notifications come from other processes, too. */
  readonly hearsOthers: boolean;
  /** Whether statements are prepared by name. Where they are not, one that takes long to plan is dear. */
  readonly prepares: boolean;
  /** What stands for a transaction's `native` before it has begun: what is first sent begins it. */
  readonly laterNative: LaterNative;
  /** Runs one statement as a transaction of its own. @throws {SqlFailure} */
  run<Row>(statement: SqlStatement): Promise<SqlResult<Row>>;
  /** Begins a transaction. Waits for a free session, but not for ever. @throws {SqlFailure} nothing was begun */
  begin(): Promise<SqlTransaction>;
  /** Calls `listener` for the notifications of a channel, or never if it does not listen. Resolves once it listens, to what ends that. @throws {SqlFailure} */
  listen(channel: string, listener: SqlListener): Promise<() => Promise<void>>;
  /**
   * Ends sessions of this user that hold up a statement of this text and do nothing in their transactions: that of a process
   * that stands still. Resolves to how many it ended. Not there where no other process has sessions. @throws {SqlFailure}
   */
  unblock?(text: string): Promise<number>;
  /** Waits for the statements under way and frees every session that is the driver's own. */
  close(): Promise<void>;
}
