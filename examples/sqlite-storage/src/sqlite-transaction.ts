// SqliteTransaction: the transaction of one attempt of a handler or an activity, begun with its first statement.
//
//   T1  It commits only through `commitAfter`, together with what the runtime records.
//   T2  After it ended, in whatever way, no statement of it runs any more.
//   T3  After one of its statements failed it cannot commit: half of what a handler meant is never written.
//   T4  It ends by itself after `transactionTimeout`: everything else waits while it is open.
//   T5  No statement runs beside it, where SQLite would commit it at once: not after one that failed, since for a full disk
//       and the like SQLite rolls back the whole transaction, and not after one that ended it.

import {
  PersistenceError,
  TransactionUnavailableError,
  type StorageTransaction,
  type Timer,
} from "@holdfast/core/adapter";
import { notWritten } from "./errors.ts";
import type { SqliteConnection, SqlValue } from "./sqlite-connection.ts";
import type { Begun, SqliteSession } from "./sqlite-session.ts";

export const TRANSACTION_KIND = "sqlite";

export class SqliteTransaction implements StorageTransaction {
  readonly kind: string = TRANSACTION_KIND;
  readonly #session: SqliteSession;
  readonly #after: Promise<unknown> | undefined;
  #beginning: Promise<Begun> | null = null;
  #isOver = false;
  #deadline: Timer | null = null;
  #expired: PersistenceError | null = null;
  /** What the first statement that failed says of it. */
  #failedWith: string | null = null;
  #unbegun: unknown = null;

  /** @param after what it begins after: never rejects. A write that the turn to write, which this holds, would keep waiting */
  constructor(session: SqliteSession, after?: Promise<unknown>) {
    this.#session = session;
    this.#after = after;
  }

  /** What a handler is attempted again for: it was not begun, or took too long. */
  get lostWith(): Error | null {
    return this.#expired ?? (this.#unbegun instanceof PersistenceError ? this.#unbegun : null);
  }

  get couldNotBegin(): boolean {
    return this.#unbegun !== null;
  }

  /** Whether there is anything to commit. */
  get hasBegun(): boolean {
    return this.#beginning !== null;
  }

  /**
   * Runs a statement. Rejects with the error of node:sqlite where the statement is at fault.
   *
   * @throws {PersistenceError} it was not begun, or took too long
   * @throws {TransactionUnavailableError} the handler has ended, or T5
   */
  async query<Row>(text: string, values: readonly SqlValue[] = []): Promise<readonly Row[]> {
    this.#assertOpen();
    this.#beginning ??= this.#begin();
    const { connection } = await this.#beginning;
    this.#assertOpen();
    this.#assertWithin(connection);
    try {
      return connection.query<Row>(text, values);
    } catch (error) {
      this.#failedWith ??= error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  /** Does the runtime's part and commits. On any failure it is rolled back. @throws {TransactionUnavailableError} T3 */
  async commitAfter<Result>(
    operation: string,
    work: (connection: SqliteConnection) => Result,
  ): Promise<Result> {
    // What the handler began without waiting for it comes first.
    const begun = await this.#beginning;
    if (this.#expired !== null) throw this.#expired;
    if (this.#isOver || begun === null) throw notWritten(operation, "the transaction is over already");
    this.#over();
    const { connection, end } = begun;
    try {
      this.#assertWithin(connection);
      return this.#session.commit(operation, work);
    } finally {
      end();
    }
  }

  async rollback(): Promise<void> {
    if (this.#isOver) return;
    this.#over();
    const begun = await this.#beginning?.catch(() => null);
    if (begun === undefined || begun === null) return;
    begun.connection.rollback();
    begun.end();
  }

  async #begin(): Promise<Begun> {
    await this.#after;
    this.#assertOpen();
    const begun = await this.#session.begin("a transaction").catch((error: unknown) => {
      this.#unbegun = error;
      throw error;
    });
    const { transactionTimeoutMs } = this.#session.settings;
    if (!this.#isOver)
      this.#deadline = this.#session.clock.setTimer(transactionTimeoutMs, () => {
        const detail =
          `the handler's transaction took longer than ${transactionTimeoutMs} ms and was rolled back, since ` +
          `everything else waited for it`;
        this.#expired = notWritten("a transaction", detail);
        void this.rollback();
      });
    return begun;
  }

  /**
   * Asked before each statement, so that a handler that ends the transaction by SQL cannot begin one of its own.
   *
   * @throws {TransactionUnavailableError} a statement failed, or ended the transaction; what is left of it is rolled back
   */
  #assertWithin(connection: SqliteConnection): void {
    let why: string;
    if (this.#failedWith !== null) why = `a statement in it failed (${this.#failedWith})`;
    else if (connection.isInTransaction) return;
    else why = "a statement of the handler's has ended it, which is the runtime's part";
    connection.rollback();
    why += ", so no other runs, and it cannot commit";
    throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why });
  }

  #over(): void {
    this.#isOver = true;
    this.#deadline?.cancel();
  }

  #assertOpen(): void {
    if (this.#expired !== null) throw this.#expired;
    if (!this.#isOver) return;
    const why = "it is over: the handler that it belonged to has ended";
    throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why });
  }
}

/** @throws {TransactionUnavailableError} another storage opened it; it is rolled back */
export async function openedHere(transaction: StorageTransaction): Promise<SqliteTransaction> {
  if (transaction instanceof SqliteTransaction) return transaction;
  await transaction.rollback();
  const why = `the transaction given is one of "${transaction.kind}"`;
  throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why });
}
