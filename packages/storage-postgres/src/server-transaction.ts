// ServerTransaction: one transaction on a session of its own.
//
// On a pipelined session BEGIN goes out with the first statement, and the last one with COMMIT: two trips fewer. That is
// safe since a COMMIT after a failed statement is a ROLLBACK, and says so.
//
// It is not where BEGIN itself is refused, as by a cancellation that hits nothing but it: the server runs what left with it on
// its own. To prevent that would take a trip more. So from the answer on nothing more is sent, nothing counts as committed, and
// the session ends.

import type { PersistenceError } from "@holdfast/core/adapter";
import type { SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import {
  failureOf,
  failureOfCommit,
  isAborted,
  isDiskFull,
  isForgotten,
  isPlainError,
  isSpoilt,
  isTransient,
  lostTransaction,
  mayBeOutdated,
  undone,
  UnreadValue,
  unsure,
  type SqlFailure,
} from "./errors.ts";
import type { ServerConnection, ServerResult } from "./server-connection.ts";

export interface ServerTransactionOptions {
  readonly begin: string;
  /** Whether `begin` answers with its server process: a pooler makes up the one that the session has. */
  readonly saysProcess: boolean;
  /** Called once, when the session is free or ended. */
  readonly released: () => void;
  /** The types of a text's parameters may have changed. Returns whether the next attempt has it prepared anew. */
  readonly outdated: (text: string) => boolean;
  /** Ends a server process whose session was lost. Resolves to whether it is surely gone. */
  readonly retire: (processId: number | null) => Promise<boolean>;
}

export class ServerTransaction implements SqlTransaction {
  readonly #connection: ServerConnection;
  readonly #options: ServerTransactionOptions;
  readonly #begun: Promise<ServerResult<{ pid?: number }>>;
  /** Why it did not begin: a statement that is sent now would not be in a transaction. */
  #unbegun: SqlFailure | null = null;
  #lostWith: PersistenceError | null = null;
  /** Whether its session, though it lives, is of no use to the next one. */
  #isSpoilt = false;
  #over: Promise<void> | null = null;

  constructor(connection: ServerConnection, options: ServerTransactionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#begun = this.#begin();
    this.#begun.catch(() => undefined);
  }

  get native(): unknown {
    return this.#connection.native;
  }

  get lostWith(): PersistenceError | null {
    return this.#lostWith;
  }

  /** Resolves once it has begun. @throws {SqlFailure} nothing was begun; the session is ended */
  async begun(): Promise<void> {
    try {
      await this.#begun;
    } catch (error) {
      await this.rollback();
      throw error;
    }
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<SqlResult<Row>> {
    if (this.#unbegun !== null) throw this.#lostWith ?? this.#unbegun;
    const wasPrepared = params.length > 0 && this.#connection.isPrepared(text);
    try {
      const [, { rows, rowCount }] = await Promise.all([
        this.#begun,
        this.#connection.query<Row>(text, params),
      ]);
      return { rows, rowCount };
    } catch (error) {
      // Where a part of what begins it was refused, so was this, for that alone.
      await this.#begun.catch(() => undefined);
      if (this.#unbegun === null && error instanceof UnreadValue) throw error.thrown;
      if (this.#unbegun !== null || !isPlainError(error) || isDiskFull(error))
        throw (this.#lostWith ??= lostTransaction(error));
      this.#isSpoilt ||= isSpoilt(error);
      // The same statements again may well pass: told to whoever runs the handler, and the user still sees the code. What we
      // prepared is forgotten by a session on which another handler deallocated it.
      const isRepeated =
        isTransient(error) ||
        (params.length > 0 && isForgotten(error)) ||
        (wasPrepared && mayBeOutdated(error) && this.#options.outdated(text));
      if (isRepeated) throw Object.assign(error as Error, { retryable: true });
      throw error;
    }
  }

  async script(text: string, deadlineMs?: number): Promise<void> {
    try {
      await this.#begun;
      await this.#connection.script(text, deadlineMs);
    } catch (error) {
      throw failureOf(error, true);
    }
  }

  async commitAfter<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    this.#connection.seal();
    if (this.#unbegun !== null) {
      this.#release(false);
      throw this.#unbegun;
    }
    const last = this.#connection.run<Row>(statement);
    if (!this.#connection.isPipelined) {
      try {
        await last;
      } catch (error) {
        this.#isSpoilt ||= isSpoilt(error);
        await this.rollback();
        throw undone(error);
      }
    }
    const committing = this.#connection.script("COMMIT");
    const [begun, recorded, committed] = await Promise.allSettled([this.#begun, last, committing]);
    if (
      begun.status === "fulfilled" &&
      recorded.status === "fulfilled" &&
      committed.status === "fulfilled" &&
      committed.value.command === "COMMIT"
    ) {
      this.#release(true);
      const { rows, rowCount } = recorded.value;
      return { rows, rowCount };
    }
    if (begun.status === "rejected" && recorded.status === "fulfilled") {
      // The statement took effect, but on its own: who reads back finds it.
      this.#release(false);
      throw unsure(begun.reason, true);
    }
    // An ERROR in the last statement or at COMMIT, or the answer ROLLBACK, is the server's word that it is undone.
    const refusal: unknown =
      recorded.status === "rejected"
        ? recorded.reason
        : committed.status === "rejected"
          ? committed.reason
          : null;
    const isUsable =
      begun.status === "fulfilled" && (committed.status === "fulfilled" || isPlainError(committed.reason));
    const processId = await this.#processId();
    this.#isSpoilt ||= isSpoilt(refusal);
    this.#release(isUsable);
    if (recorded.status === "fulfilled" && isPlainError(refusal)) throw failureOfCommit(refusal);
    if (isUsable || isPlainError(refusal)) {
      // Where a part of what begins it was refused, so was this, for that alone.
      const why: unknown = begun.status === "rejected" && isAborted(refusal) ? begun.reason : refusal;
      throw undone(why ?? new Error("the server rolled it back"));
    }
    const isGone = await this.#options.retire(processId);
    const reason: unknown = committed.status === "rejected" ? committed.reason : refusal;
    throw unsure(reason, isGone);
  }

  async rollback(): Promise<void> {
    this.#over ??= this.#rollback();
    await this.#over;
  }

  async #rollback(): Promise<void> {
    this.#connection.seal();
    if (this.#unbegun !== null) {
      this.#finish(false);
      return;
    }
    try {
      await this.#connection.script("ROLLBACK");
      // Answered before. Where it was refused the session ends, too.
      await this.#begun;
      this.#finish(true);
    } catch {
      // A session that cannot roll back is ended, which rolls back, too.
      this.#finish(false);
    }
  }

  async #begin(): Promise<ServerResult<{ pid?: number }>> {
    try {
      return await this.#connection.script(this.#options.begin);
    } catch (error) {
      this.#unbegun = failureOf(error, false);
      const lostWith = (this.#lostWith ??= lostTransaction(error));
      // Whoever goes on through `native` learns why, so that the attempt is repeated.
      this.#connection.seal(() => lostWith);
      throw this.#unbegun;
    }
  }

  async #processId(): Promise<number | null> {
    if (!this.#options.saysProcess) return this.#connection.processId;
    const begun = await this.#begun.catch(() => null);
    return begun?.rows.at(-1)?.pid ?? null;
  }

  #release(isUsable: boolean): void {
    if (this.#over !== null) return;
    this.#over = Promise.resolve();
    this.#finish(isUsable);
  }

  #finish(isUsable: boolean): void {
    this.#connection.release(isUsable && !this.#isSpoilt);
    this.#options.released();
  }
}
