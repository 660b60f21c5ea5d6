import {
  ConfigError,
  transactionScopeOf,
  TransactionUnavailableError,
  type HasTransactionScope,
} from "@holdfast/core/adapter";
import { TRANSACTION_KIND } from "./guarded-client.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";
import { transactionCommandOf } from "./transaction-control.ts";

/** The transaction that also commits the reply or the journal entry of the handler or activity that runs. */
export interface PostgresTx<Native = unknown> {
  /**
   * Runs one statement, `$1` and so on being `params`. The first one begins the transaction.
   *
   * A statement that fails rejects with the driver's error, whose `code` is the SQLSTATE (`"23505"`), and leaves a
   * transaction that cannot commit: let the error end the handler, or guard the statement with a SAVEPOINT.
   *
   * @throws {PersistenceError} the connection was lost or none was free; nothing is written, and the attempt is repeated
   * @throws {ConfigError} the statement begins or ends a transaction, which would be committed without the record, and done again
   * with it; or it is no text, or `params` is no list
   */
  query<Row = Record<string, unknown>>(
    text: string,
    params?: readonly unknown[],
  ): Promise<{ rows: Row[]; rowCount: number }>;
  /** Begins the transaction. Its first statement does, too. Harmless when it has begun. */
  begin(): Promise<void>;
  /**
   * The driver's own client, inside of the transaction: a `pg` PoolClient, a postgres.js TransactionSql or a PGlite
   * Transaction. To be used until the handler ends, and not to commit or roll back with.
   *
   * Its first statement begins the transaction. Until then, or until `begin()` or a first `query()` has resolved, that of `pg` has only
   * `query`, and that of PGlite only `query`, `sql` and `exec`.
   *
   * After the handler ended it sends nothing any more, also not a query of postgres.js that was made before and is awaited then. Where
   * the transaction could not begin, or PGlite took it back, its statements fail with the PersistenceError for which the attempt is repeated.
   *
   * @throws {TransactionUnavailableError} after the handler ended
   */
  readonly native: Native;
}

/**
 * The one transaction of this handler's or activity's attempt: what it writes and the record of its outcome are committed
 * together, or neither is (INV-3). If the handler throws, both are rolled back. Opened by the first statement, and each
 * further call gives the same one.
 *
 * @param context of a persisted handler, an activity or a cron's run
 * @throws {TransactionUnavailableError} `context` is another one, it has ended, or the cluster's storage is another one
 */
export function postgresTx<Native = unknown>(context: HasTransactionScope): PostgresTx<Native> {
  const transaction = transactionScopeOf(context, TRANSACTION_KIND).open(TRANSACTION_KIND);
  if (!(transaction instanceof PostgresTransaction)) {
    throw new TransactionUnavailableError({
      wanted: TRANSACTION_KIND,
      why: "another copy of @holdfast/storage-postgres opened it",
    });
  }
  return new OpenTx(transaction);
}

/** A class: V8 makes a hidden class for each object literal with a getter, which outlives it. */
class OpenTx<Native> implements PostgresTx<Native> {
  readonly query: PostgresTx<Native>["query"];
  readonly begin: PostgresTx<Native>["begin"];
  readonly #transaction: PostgresTransaction;

  constructor(transaction: PostgresTransaction) {
    this.#transaction = transaction;
    this.query = async (text, params = []) => {
      if (typeof text !== "string")
        throw new ConfigError({ option: "text", got: text, takes: "a statement" });
      if (!Array.isArray(params))
        throw new ConfigError({ option: "params", got: params, takes: "a list, the first of which is $1" });
      const command = transactionCommandOf(text);
      if (command !== null) throw notYours(command);
      return transaction.query(text, params);
    };
    this.begin = async () => {
      await transaction.begin();
    };
  }

  get native(): Native {
    return this.#transaction.native as Native;
  }
}

function notYours(command: string): ConfigError {
  return new ConfigError({
    option: "text",
    got: command,
    takes: "no statement that begins or ends a transaction",
    hint:
      "The transaction has begun, and is committed with the record of what ran once the handler has returned. " +
      "To have it rolled back, throw; to take back a part of it, use SAVEPOINT and ROLLBACK TO.",
  });
}
