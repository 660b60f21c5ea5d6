import type { PersistenceError } from "@holdfast/core/adapter";
import type { SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import {
  failureOf,
  failureOfCommit,
  isDiskFull,
  isTransient,
  lostTransaction,
  plainError,
  SqlFailure,
  undone,
} from "./errors.ts";
import { guardedClient, transactionOver } from "./guarded-client.ts";
import type { PGliteInstance, PGliteNative } from "./options.ts";
import { readsInput } from "./transaction-control.ts";
import { pgliteOptions, textOf } from "./value-text.ts";

export interface PGliteTransactionOptions {
  /** Does not count once `native` was asked for: what is done through it is not seen here. */
  readonly idleLimitMs: number;
  /** Counts from the beginning to the commit, whatever is done. */
  readonly deadlineMs: number;
  /** Called once, when the session is free. */
  readonly released: () => void;
}

const VALUES = pgliteOptions();
/** Those of its transactions that send something. */
export const PGLITE_METHODS: readonly string[] = ["query", "sql", "exec"];

/** One transaction on PGlite's one session. PGlite ends it when the function given to it ends: that function waits here. */
export class PGliteTransaction implements SqlTransaction {
  readonly #options: PGliteTransactionOptions;
  readonly #begun: Promise<PGliteNative>;
  readonly #ended: Promise<void>;
  #native: PGliteNative | undefined;
  #client: PGliteNative | undefined;
  #settle: { commit: () => void; rollback: (reason: unknown) => void } | null = null;
  #idle: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #isNativeOut = false;
  /** What the user holds as `native` sends nothing any more: what ends the transaction goes out next. */
  #isSealed = false;
  #expired: SqlFailure | null = null;
  #lostWith: PersistenceError | null = null;

  constructor(instance: PGliteInstance, options: PGliteTransactionOptions) {
    this.#options = options;
    const { promise: begun, resolve: begin, reject: fail } = Promise.withResolvers<PGliteNative>();
    const { promise: decided, resolve: commit, reject: rollback } = Promise.withResolvers<void>();
    decided.catch(() => undefined);
    begun.catch(() => undefined);
    this.#begun = begun;
    this.#settle = { commit, rollback };
    this.#ended = instance
      .transaction(async (native: PGliteNative) => {
        this.#native = native;
        begin(native);
        this.#watchIdle();
        this.#watchDeadline();
        try {
          await decided;
        } catch (reason) {
          // After a statement that is no text the next one does nothing: PGlite's own ROLLBACK would leave the session as it is.
          await native.exec("ROLLBACK").catch(() => undefined);
          throw reason;
        }
      })
      .catch((error: unknown) => {
        fail(error);
        throw error;
      })
      .finally(() => {
        this.#settle = null;
        clearTimeout(this.#idle);
        clearTimeout(this.#deadline);
        options.released();
      });
    this.#ended.catch(() => undefined);
  }

  get native(): unknown {
    this.#isNativeOut = true;
    clearTimeout(this.#idle);
    this.#client ??= this.#native && guardedClient(this.#native, PGLITE_METHODS, () => this.#refusal());
    return this.#client;
  }

  get lostWith(): PersistenceError | null {
    return this.#lostWith;
  }

  /** Resolves once it has begun, and `native` is there. @throws {SqlFailure} nothing was begun */
  async begun(): Promise<void> {
    try {
      await this.#begun;
    } catch (error) {
      throw failureOf(error, false);
    }
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>> {
    if (this.#lostWith !== null) throw this.#lostWith;
    // PGlite would wait for it with all of the process.
    if (readsInput(text))
      throw plainError("COPY FROM STDIN has nobody to read from: see '/dev/blob' of PGlite", "0A000");
    const native = await this.#open();
    try {
      // As text: of a type of the user's PGlite makes what JavaScript does.
      const { rows, affectedRows } = await native.query<Row>(text, params.map(textOf), VALUES);
      // Of a read PGlite says 0: what it counts is writes.
      return {
        rows,
        rowCount: affectedRows === undefined || affectedRows === 0 ? rows.length : affectedRows,
      };
    } catch (error) {
      // As on a server.
      if (isDiskFull(error)) throw (this.#lostWith ??= lostTransaction(error));
      throw isTransient(error) ? Object.assign(error as Error, { retryable: true }) : error;
    } finally {
      this.#watchIdle();
    }
  }

  async script(text: string): Promise<void> {
    const native = await this.#open();
    try {
      await native.exec(text);
    } catch (error) {
      throw failureOf(error, true);
    } finally {
      this.#watchIdle();
    }
  }

  async commitAfter<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    let result: SqlResult<Row>;
    try {
      const native = await this.#open();
      clearTimeout(this.#deadline);
      this.#isSealed = true;
      const { rows, affectedRows } = await native.query<Row>(statement.text, [...statement.values]);
      result = { rows, rowCount: affectedRows ?? rows.length };
    } catch (error) {
      await this.rollback();
      throw undone(error);
    }
    this.#settle?.commit();
    try {
      await this.#ended;
    } catch (error) {
      throw failureOfCommit(error);
    }
    return result;
  }

  async rollback(): Promise<void> {
    clearTimeout(this.#idle);
    this.#isSealed = true;
    this.#settle?.rollback(new Error("rolled back"));
    // PGlite hands the reason of the rollback back, which is ours.
    await this.#ended.catch(() => undefined);
  }

  async #open(): Promise<PGliteNative> {
    clearTimeout(this.#idle);
    if (this.#expired !== null) throw this.#expired;
    await this.begun();
    return this.#begun;
  }

  #refusal(): Error | null {
    return this.#lostWith ?? (this.#isSealed ? transactionOver() : null);
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    if (this.#settle === null || this.#isNativeOut) return;
    const { idleLimitMs } = this.#options;
    this.#idle = setTimeout(() => {
      this.#expire(
        "25P03",
        `did nothing for ${idleLimitMs} ms`,
        "must not wait for another entity, nor query the instance itself, nor yield from a persisted stream, on PGlite",
      );
    }, idleLimitMs);
    this.#idle.unref();
  }

  #watchDeadline(): void {
    const { deadlineMs } = this.#options;
    this.#deadline = setTimeout(() => {
      this.#expire(
        "25P04",
        `took longer than ${deadlineMs} ms`,
        "must end soon, or needs a PostgreSQL server",
      );
    }, deadlineMs);
    this.#deadline.unref();
  }

  #expire(sqlState: string, what: string, advice: string): void {
    const message =
      `the transaction ${what} and was rolled back, since it held PGlite's one session. ` +
      `A handler that holds a transaction ${advice}`;
    this.#expired ??= new SqlFailure({ outcome: "not-written", sqlState, message });
    this.#lostWith ??= lostTransaction(this.#expired);
    void this.rollback();
  }
}
