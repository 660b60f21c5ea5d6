// PgTransaction: one transaction on a connection of the pool.
//
// On a connection with `pipeline: true` BEGIN goes out with the first statement, and the last one with COMMIT: two trips
// fewer. That is safe since a COMMIT after a failed statement is a ROLLBACK, and says so.

import type { PoolClient, QueryResult } from "pg";
import type { SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import { failureOf, isPlainError, isTransient, SqlFailure } from "./errors.ts";
import { end, processIdOf } from "./pg-connection.ts";

export interface PgTransactionOptions {
  readonly begin: string;
  readonly deadlineMs: number;
  /** Called once, when the connection is free or ended. */
  readonly released: () => void;
  /** Ends a server process whose connection was lost. */
  readonly retire: (processId: number | null) => Promise<void>;
}

export class PgTransaction implements SqlTransaction {
  readonly native: PoolClient;
  readonly #options: PgTransactionOptions;
  readonly #isPipelined: boolean;
  readonly #begun: Promise<unknown>;
  #over: Promise<void> | null = null;

  constructor(client: PoolClient, options: PgTransactionOptions) {
    this.native = client;
    this.#options = options;
    this.#isPipelined = (client as unknown as { pipeline?: unknown }).pipeline === true;
    this.#begun = this.#send(options.begin);
    this.#begun.catch(() => undefined);
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>> {
    if (!this.#isPipelined) await this.#begun;
    try {
      const [, { rows, rowCount }] = await Promise.all([this.#begun, this.#send(text, params)]);
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    } catch (error) {
      if (!isPlainError(error)) throw failureOf(error, true);
      // The same statements again may well pass: told to whoever runs the handler, and the user still sees the code.
      if (isTransient(error)) throw Object.assign(error as Error, { retryable: true });
      throw error;
    }
  }

  async script(text: string): Promise<void> {
    try {
      await this.#begun;
      await this.#send(text);
    } catch (error) {
      throw failureOf(error, true);
    }
  }

  async commitAfter<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const last = this.#sendNamed(statement);
    if (!this.#isPipelined) {
      try {
        await last;
      } catch (error) {
        await this.rollback();
        throw undone(error);
      }
    }
    const committing = this.#send("COMMIT");
    const [recorded, committed] = await Promise.allSettled([last, committing]);
    if (
      recorded.status === "fulfilled" &&
      committed.status === "fulfilled" &&
      committed.value.command === "COMMIT"
    ) {
      this.#release(true);
      const { rows, rowCount } = recorded.value;
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    }
    // An ERROR in the last statement or at COMMIT, or the answer ROLLBACK, is the server's word that it is undone.
    const refusal: unknown =
      recorded.status === "rejected"
        ? recorded.reason
        : committed.status === "rejected"
          ? committed.reason
          : null;
    const isUsable = committed.status === "fulfilled" || isPlainError(committed.reason);
    const processId = processIdOf(this.native);
    this.#release(isUsable);
    if (isUsable || isPlainError(refusal)) throw undone(refusal);
    await this.#options.retire(processId);
    const lost = failureOf(committed.reason, true);
    throw new SqlFailure(
      { outcome: "unknown", sqlState: lost.sqlState, message: lost.message },
      { cause: committed.reason },
    );
  }

  async rollback(): Promise<void> {
    this.#over ??= this.#rollback();
    await this.#over;
  }

  async #rollback(): Promise<void> {
    try {
      await this.#send("ROLLBACK");
      this.#finish(true);
    } catch {
      // A connection that cannot roll back is ended, which rolls back, too.
      this.#finish(false);
    }
  }

  #release(isUsable: boolean): void {
    if (this.#over !== null) return;
    this.#over = Promise.resolve();
    this.#finish(isUsable);
  }

  #finish(isUsable: boolean): void {
    end(this.native, isUsable);
    this.#options.released();
  }

  #send(text: string, params?: readonly unknown[]): Promise<QueryResult> {
    const query = {
      text,
      query_timeout: this.#options.deadlineMs,
      ...(params === undefined ? {} : { values: [...params] }),
    };
    return this.native.query(query);
  }

  #sendNamed({ name, text, values }: SqlStatement): Promise<QueryResult> {
    const query = { name, text, values: [...values], query_timeout: this.#options.deadlineMs };
    return this.native.query(query);
  }
}

/** The failure of a transaction that surely did not commit. */
function undone(error: unknown): SqlFailure {
  const { sqlState, message, serverDetail } = failureOf(
    error ?? new Error("the server rolled it back"),
    false,
  );
  return new SqlFailure({ outcome: "not-written", sqlState, message, serverDetail }, { cause: error });
}
