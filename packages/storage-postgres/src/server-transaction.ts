// ServerTransaction: one transaction on a session of its own.
//
// On a pipelined session BEGIN goes out with the first statement, and the last one with COMMIT: two trips fewer. That is
// safe since a COMMIT after a failed statement is a ROLLBACK, and says so.

import type { SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import { failureOf, isPlainError, isTransient, SqlFailure, undone } from "./errors.ts";
import type { ServerConnection, ServerResult } from "./server-connection.ts";

export interface ServerTransactionOptions {
  readonly begin: string;
  /** Called once, when the session is free or ended. */
  readonly released: () => void;
  /** Ends a server process whose session was lost. Resolves to whether it is surely gone. */
  readonly retire: (processId: number | null) => Promise<boolean>;
}

export class ServerTransaction implements SqlTransaction {
  readonly #connection: ServerConnection;
  readonly #options: ServerTransactionOptions;
  readonly #begun: Promise<ServerResult<{ pid?: number }>>;
  #over: Promise<void> | null = null;

  constructor(connection: ServerConnection, options: ServerTransactionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#begun = connection.script(options.begin);
    this.#begun.catch(() => undefined);
  }

  get native(): unknown {
    return this.#connection.native;
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>> {
    if (!this.#connection.isPipelined) await this.#begun.catch(() => undefined);
    try {
      const [, { rows, rowCount }] = await Promise.all([
        this.#begun,
        this.#connection.query<Row>(text, params),
      ]);
      return { rows, rowCount };
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
      await this.#connection.script(text);
    } catch (error) {
      throw failureOf(error, true);
    }
  }

  async commitAfter<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    this.#connection.seal();
    const last = this.#connection.run<Row>(statement);
    if (!this.#connection.isPipelined) {
      try {
        await last;
      } catch (error) {
        await this.rollback();
        throw undone(error);
      }
    }
    const committing = this.#connection.script("COMMIT");
    const [recorded, committed] = await Promise.allSettled([last, committing]);
    if (
      recorded.status === "fulfilled" &&
      committed.status === "fulfilled" &&
      committed.value.command === "COMMIT"
    ) {
      this.#release(true);
      const { rows, rowCount } = recorded.value;
      return { rows, rowCount };
    }
    // An ERROR in the last statement or at COMMIT, or the answer ROLLBACK, is the server's word that it is undone.
    const refusal: unknown =
      recorded.status === "rejected"
        ? recorded.reason
        : committed.status === "rejected"
          ? committed.reason
          : null;
    const isUsable = committed.status === "fulfilled" || isPlainError(committed.reason);
    const processId = await this.#processId();
    this.#release(isUsable);
    if (isUsable || isPlainError(refusal)) throw undone(refusal ?? new Error("the server rolled it back"));
    const isGone = await this.#options.retire(processId);
    const { sqlState, message } = failureOf(committed.reason, true);
    throw new SqlFailure(
      { outcome: "unknown", sqlState, message, isSettled: isGone },
      { cause: committed.reason },
    );
  }

  async rollback(): Promise<void> {
    this.#over ??= this.#rollback();
    await this.#over;
  }

  async #rollback(): Promise<void> {
    this.#connection.seal();
    try {
      await this.#connection.script("ROLLBACK");
      this.#finish(true);
    } catch {
      // A session that cannot roll back is ended, which rolls back, too.
      this.#finish(false);
    }
  }

  /** Behind a pooler the transaction itself says which process it has. */
  async #processId(): Promise<number | null> {
    const begun = await this.#begun.catch(() => null);
    return begun?.rows.at(-1)?.pid ?? this.#connection.processId;
  }

  #release(isUsable: boolean): void {
    if (this.#over !== null) return;
    this.#over = Promise.resolve();
    this.#finish(isUsable);
  }

  #finish(isUsable: boolean): void {
    this.#connection.release(isUsable);
    this.#options.released();
  }
}
