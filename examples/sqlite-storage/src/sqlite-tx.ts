import {
  transactionScopeOf,
  TransactionUnavailableError,
  type HasTransactionScope,
} from "@holdfast/core/adapter";
import type { SqlValue } from "./sqlite-connection.ts";
import { SqliteTransaction, TRANSACTION_KIND } from "./sqlite-transaction.ts";

/** The transaction that also commits the reply or the journal entry of the handler or activity that runs. */
export interface SqliteTx {
  /**
   * Runs one statement, each `?` being one of `values`. The first one begins the transaction, and waits for its turn to write.
   *
   * A statement that fails rejects with the error of node:sqlite, and leaves a transaction that cannot commit: let the error
   * end the handler. It is not for BEGIN, COMMIT and ROLLBACK.
   *
   * @throws {TransactionUnavailableError} a statement before it failed, or ended the transaction: nothing runs any more
   * @throws {PersistenceError} others wrote for too long, or this one did; nothing is written, and the attempt is repeated
   */
  query<Row = Record<string, SqlValue>>(text: string, values?: readonly SqlValue[]): Promise<readonly Row[]>;
}

/**
 * The one transaction of this handler's or activity's attempt: what it writes and the record of its outcome are committed
 * together, or neither is (INV-3). If the handler throws, both are rolled back.
 *
 * @throws {TransactionUnavailableError} `context` is no context of a persisted handler or an activity, it has ended, or the
 *   cluster's storage is another one
 */
export function sqliteTx(context: HasTransactionScope): SqliteTx {
  const transaction = transactionScopeOf(context, TRANSACTION_KIND).open(TRANSACTION_KIND);
  if (!(transaction instanceof SqliteTransaction)) {
    const why = "another copy of this package opened it";
    throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why });
  }
  return { query: async (text, values = []) => transaction.query(text, values) };
}
