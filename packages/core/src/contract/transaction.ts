// Transaction scope: how a handler's or an activity's context finds the one storage transaction that also commits its
// reply or journal entry. The runtime makes a scope for each attempt; `postgresTx(ctx)` and its like open it.

import { TransactionUnavailableError } from "../errors/storage.ts";
import { withCauses } from "./thrown.ts";

/** A transaction of the storage, open until the runtime records the outcome with it or rolls it back. */
export interface StorageTransaction {
  /** Names the storage that opened it, `"postgres"`; an adapter's accessor checks it. */
  readonly kind: string;
  /** What it threw when it could not begin, or its session was lost: an attempt that this ends is repeated. Null: neither. */
  readonly lostWith?: Error | null;
  /** Whether it could not begin, as where no connection became free: an attempt that this ends does not count. Not given: it could. */
  readonly couldNotBegin?: boolean;
  /**
   * Undoes everything, and ends it: nothing is committed with it any more. Safe to call twice and after a failure; resolves
   * when the connection is free again.
   */
  rollback(): Promise<void>;
}

/** Never rejects: if it cannot be rolled back, the connection is lost, and the transaction with it. */
export async function rollBack(transaction: StorageTransaction | null): Promise<void> {
  try {
    await transaction?.rollback();
  } catch {
    // Nothing of it is or will be written.
  }
}

/**
 * So many attempts are made that do not count, since their transactions could not begin: by the defaults for half an hour. What
 * lasts longer is no rush.
 */
export const MOST_WITHOUT_TRANSACTION = 100;

/** Whether this is what the transaction was lost with. A query builder may have wrapped it. */
export function isLostWith(error: unknown, transaction: StorageTransaction | null): boolean {
  const lostWith = transaction?.lostWith ?? null;
  if (lostWith === null) return false;
  const errors = withCauses(error);
  const at = errors.indexOf(lostWith);
  return at !== -1 && !errors.slice(0, at).some(saysItIsFinal);
}

/** Whether an attempt ended with this error since its transaction could not begin. */
export function couldNotBegin(error: unknown, transaction: StorageTransaction | null): boolean {
  return transaction?.couldNotBegin === true && isLostWith(error, transaction);
}

function saysItIsFinal(error: Error): boolean {
  try {
    return "retryable" in error && error.retryable === false;
  } catch {
    return false;
  }
}

/** Where a context keeps its scope. A symbol, so that it is not among what users see on `ctx`. */
export const TRANSACTION_SCOPE: unique symbol = Symbol.for("@holdfast/transaction-scope");

/** A context that may have a transaction: a handler's, an activity's or a cron's. */
export interface HasTransactionScope {
  readonly [TRANSACTION_SCOPE]?: TransactionScope;
}

/** Why a storage without transactions has none for these. */
export function noTransactionsFor(whom: "handlers" | "activities"): string {
  return `the cluster's storage has no transactions for ${whom}; configure one that has, such as Postgres: "pglite:" needs no server`;
}

/** One attempt's transaction: none until the first `open()`, then always the same one. */
export class TransactionScope {
  readonly #begin: (() => StorageTransaction) | undefined;
  readonly #unavailable: string;
  #transaction: StorageTransaction | undefined;
  #closed = false;

  /** @param begin opens the storage's transaction lazily, or is undefined where there is none, for the reason given */
  constructor(begin: (() => StorageTransaction) | undefined, unavailable: string) {
    this.#begin = begin;
    this.#unavailable = unavailable;
  }

  /** The transaction that was opened, if any. */
  get transaction(): StorageTransaction | undefined {
    return this.#transaction;
  }

  /** @throws {TransactionUnavailableError} the storage has none, or the attempt is over */
  open(wanted: string): StorageTransaction {
    if (this.#closed)
      throw new TransactionUnavailableError({ wanted, why: "the handler that it belonged to has ended" });
    if (this.#begin === undefined) throw new TransactionUnavailableError({ wanted, why: this.#unavailable });
    this.#transaction ??= this.#begin();
    if (this.#transaction.kind !== wanted) {
      throw new TransactionUnavailableError({
        wanted,
        why: `the cluster's storage gives "${this.#transaction.kind}" transactions`,
      });
    }
    return this.#transaction;
  }

  /** After this nobody opens it any more: what was opened is committed or rolled back by the runtime. */
  close(): void {
    this.#closed = true;
  }
}

/** The scope of a handler's or activity's context. @throws {TransactionUnavailableError} `context` is no such context */
export function transactionScopeOf(context: object, wanted: string): TransactionScope {
  const scope = (context as HasTransactionScope)[TRANSACTION_SCOPE];
  if (scope === undefined) {
    throw new TransactionUnavailableError({
      wanted,
      why: "this is not the context of a persisted handler or of an activity, whose record it would commit with",
    });
  }
  return scope;
}
