// PostgresTransaction: the transaction of one attempt of a handler or an activity, begun with its first statement.
//
//   T1  It commits only through `commitAfter`, together with what the runtime records.
//   T2  After it ended, in whatever way, no statement of it runs any more.
//   T3  After one of its statements failed it cannot commit: PostgreSQL refuses everything but a rollback.
//   T4  What its statements wrote may be refused as late as at COMMIT. That is their failure, and none of the storage.

import {
  TransactionUnavailableError,
  type PersistenceError,
  type StorageTransaction,
} from "@holdfast/core/adapter";
import type { LaterNative, SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import {
  failureOf,
  isAborted,
  isPlainError,
  isReadOnly,
  isRefusedCommit,
  isTransient,
  persistenceError,
  SqlFailure,
  undone,
} from "./errors.ts";
import { TRANSACTION_KIND, transactionOver } from "./guarded-client.ts";
import { takesRole } from "./transaction-control.ts";
import { givenValues } from "./value-text.ts";

/** What a session runs as. */
interface Roles {
  readonly user: string;
  readonly role: string;
}

export class PostgresTransaction implements StorageTransaction {
  readonly kind: string = TRANSACTION_KIND;
  readonly #begin: () => Promise<SqlTransaction>;
  readonly #ended: () => void;
  readonly #laterNative: LaterNative;
  #beginning: Promise<SqlTransaction> | null = null;
  #begun: SqlTransaction | null = null;
  /** What stands for its client until it has begun. */
  #later: unknown = null;
  #isOver = false;
  /** What it could not begin with. */
  #lostWith: PersistenceError | null = null;
  #rollingBack: Promise<void> | null = null;
  /** The first statement that failed, for the message of a commit that cannot be. */
  #failedWith: string | null = null;
  /** Those from before it took on another role; null: it took on none, or could not. */
  #roles: Promise<Roles | null> | null = null;

  /**
   * @param ended called once when it is over
   * @param laterNative makes what stands for its client before it has begun
   */
  constructor(begin: () => Promise<SqlTransaction>, ended: () => void, laterNative: LaterNative) {
    this.#begin = begin;
    this.#ended = ended;
    this.#laterNative = laterNative;
  }

  /**
   * The driver's own client. Before it has begun: what begins it with its first statement.
   *
   * @throws {TransactionUnavailableError} it is over
   */
  get native(): unknown {
    this.#assertOpen();
    if (this.#begun !== null) return this.#begun.native;
    this.#later ??= this.#laterNative(
      () => this.begin(),
      () => (this.#isOver ? transactionOver() : null),
    );
    return this.#later;
  }

  /**
   * Begins it, if that did not happen. All who ask are told in the order in which they asked: a statement goes out before what
   * ends the transaction (T2). @throws {PersistenceError} no connection; nothing was begun
   */
  begin(): Promise<SqlTransaction> {
    return this.#isOver ? Promise.reject(transactionOver()) : this.#beginOnce();
  }

  /** Runs a statement. Rejects with the driver's own error where the statement is at fault. @throws {PersistenceError} */
  async query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>> {
    const given = givenValues(params);
    const transaction = await this.begin();
    if (takesRole(text)) this.#roles = rolesBefore(this.#roles, transaction);
    // Read first, and one by one: what follows keeps its place.
    if (this.#roles !== null) await this.#roles;
    try {
      return await transaction.query<Row>(text, given);
    } catch (error) {
      // What a parser of the user's threw is no failure of the statement.
      if (isPlainError(error) || error === transaction.lostWith)
        this.#failedWith ??= failureOf(error, true).message;
      throw error;
    }
  }

  get lostWith(): PersistenceError | null {
    return this.#lostWith ?? this.#begun?.lostWith ?? null;
  }

  get couldNotBegin(): boolean {
    return this.#lostWith !== null;
  }

  /** Whether there is anything to commit. */
  get hasBegun(): boolean {
    return this.#beginning !== null;
  }

  /** Runs the runtime's statement and commits. @throws {SqlFailure} @throws {TransactionUnavailableError} it cannot commit (T3, T4) */
  async commitAfter(statement: SqlStatement): Promise<void> {
    if (this.#isOver || this.#rollingBack !== null) {
      throw new SqlFailure({
        outcome: "not-written",
        sqlState: null,
        message: "the transaction is over already",
      });
    }
    // At once: what the handler left behind, and asks for from now on, must not follow its COMMIT (T2).
    this.#over();
    const transaction = await this.#beginOnce();
    try {
      if (this.#roles !== null) await giveBack(await this.#roles, transaction);
      await transaction.commitAfter(statement);
    } catch (error) {
      const failure = failureOf(error, true);
      if (isRefusedCommit(failure)) throw refusedCommit(failure);
      if (isReadOnly(failure)) {
        // It began as one that writes, which a server that takes no writes refuses.
        const why = "it was made READ ONLY, and the record of what ran is written in it";
        throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why }, { cause: failure.cause });
      }
      if (!isAborted(failure)) throw failure;
      const why =
        `a statement in the handler's transaction failed (${this.#failedWith ?? "one sent through the driver's own client"}) and the ` +
        `handler went on, but a transaction with a failed statement cannot commit. Let the error end the handler, or ` +
        `put the statement between SAVEPOINT and ROLLBACK TO SAVEPOINT`;
      throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why }, { cause: failure });
    }
  }

  async rollback(): Promise<void> {
    this.#rollingBack ??= this.#rollback();
    await this.#rollingBack;
  }

  async #rollback(): Promise<void> {
    this.#over();
    const transaction = await this.#beginning?.catch(() => null);
    if (this.#roles !== null) await this.#roles;
    await transaction?.rollback();
  }

  #beginOnce(): Promise<SqlTransaction> {
    this.#beginning ??= this.#connect();
    return this.#beginning;
  }

  async #connect(): Promise<SqlTransaction> {
    try {
      this.#begun = await this.#begin();
      return this.#begun;
    } catch (error) {
      this.#lostWith = persistenceError("a transaction", error);
      throw this.#lostWith;
    }
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended();
  }

  #assertOpen(): void {
    if (this.#isOver) throw transactionOver();
  }
}

/** @param known what was read before */
async function rolesBefore(
  known: Promise<Roles | null> | null,
  transaction: SqlTransaction,
): Promise<Roles | null> {
  return (await known) ?? rolesOf(transaction);
}

/** Null where a statement failed before: then what follows takes on no role, either. */
async function rolesOf(transaction: SqlTransaction): Promise<Roles | null> {
  try {
    const { rows } = await transaction.query<Roles>(
      `SELECT pg_catalog.current_setting('session_authorization') AS "user", pg_catalog.current_setting('role') AS role`,
      [],
    );
    return rows[0] ?? null;
  } catch {
    return null;
  }
}

/**
 * The record is the library's, and written with its own rights. A session may have been given a role when it was made, which RESET
 * would not come back to. @throws {SqlFailure} nothing of the transaction is written
 */
async function giveBack(roles: Roles | null, transaction: SqlTransaction): Promise<void> {
  if (roles === null) return;
  // Of null it makes what RESET does: the user of PGlite's session has no name. A user that stays is not set again: the
  // role hangs on it.
  const text = `SELECT CASE WHEN pg_catalog.current_setting('session_authorization') <> $1
      THEN pg_catalog.set_config('session_authorization', nullif($1, ''), false) END,
    pg_catalog.set_config('role', nullif($2, ''), false)`;
  try {
    await transaction.query(text, [roles.user, roles.role]);
  } catch (error) {
    throw undone(error);
  }
}

/** Has the driver's own error as its cause, as a statement that failed would have been thrown to the handler (T4). */
function refusedCommit(failure: SqlFailure): TransactionUnavailableError {
  const { cause } = failure;
  // The same statements again may well pass: told to whoever runs the handler.
  if (cause instanceof Error && isTransient(cause)) Object.assign(cause, { retryable: true });
  const why =
    `the server refused its COMMIT (${failure.message}), which is when deferred constraints and triggers, and conflicts with ` +
    `other transactions show. Nothing of it was written`;
  return new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why }, { cause });
}
