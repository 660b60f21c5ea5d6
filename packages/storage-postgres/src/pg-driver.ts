// PgDriver: SqlDriver on the package `pg`.
//
// One pool for everything. Handlers' transactions may hold only a part of it, so that the statements of the runtime, lease
// refreshes among them, always find a connection, whatever handlers wait for.
//
//   P1  A connection goes back to the pool only in a known state: idle, no transaction, no statement under way. Any doubt
//       ends it.
//   P2  Every statement has a deadline here, beyond the server's own, for servers that do not answer at all.

import type { Client, Pool, PoolClient, PoolConfig } from "pg";
import type { SqlDriver, SqlListener, SqlResult, SqlStatement, SqlTransaction } from "./driver.ts";
import { failureOf, isPlainError, SqlFailure } from "./errors.ts";
import type { PostgresSettings } from "./options.ts";
import { end, processIdOf } from "./pg-connection.ts";
import { PgListener } from "./pg-listener.ts";
import { PgTransaction } from "./pg-transaction.ts";
import { Turnstile } from "./turnstile.ts";

/** As much of the package `pg` as is used here. */
export interface PgModule {
  readonly Pool: new (config: PoolConfig) => Pool;
  readonly Client: new (config: PoolConfig) => Client;
}

const LANES = 2;

export class PgDriver implements SqlDriver {
  readonly lanes: number = LANES;
  readonly hearsOthers: boolean = true;
  readonly #settings: PostgresSettings;
  readonly #pool: Pool;
  readonly #listener: PgListener;
  readonly #transactions: Turnstile;
  /** Connections whose error event is listened to: one without a listener would end the process. */
  readonly #guarded = new WeakSet<PoolClient>();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(pg: PgModule, settings: PostgresSettings) {
    this.#settings = settings;
    const config = poolConfig(settings);
    this.#pool = settings.pool === undefined ? new pg.Pool(config) : (settings.pool as Pool);
    if (settings.pool === undefined) this.#pool.on("error", ignore);
    const options: PoolConfig = this.#pool.options;
    this.#listener = new PgListener(
      () => new pg.Client({ ...options, ...withPassword(options), pipeline: false }),
      settings.statementDeadlineMs,
    );
    const size = options.max ?? settings.poolSize;
    const forTransactions = size - Math.min(4, Math.floor(size / 2));
    this.#transactions = new Turnstile(Math.max(1, forTransactions));
  }

  async run<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    return this.#follow(this.#run<Row>(statement));
  }

  async begin(): Promise<SqlTransaction> {
    const { transactionWaitMs, pool, lockTimeoutMs, idleTransactionTimeoutMs, statementDeadlineMs } =
      this.#settings;
    const leave = await this.#transactions.enter(transactionWaitMs);
    if (leave === null) {
      throw new SqlFailure({
        outcome: "not-written",
        sqlState: null,
        message:
          `no connection became free for a transaction within ${transactionWaitMs} ms: raise poolSize, or wait for no other ` +
          `entity inside of a transaction`,
      });
    }
    try {
      const client = await this.#connect();
      // A pool of the user's has the user's settings: those that bound the locks of a transaction are set for each.
      const settings =
        pool === undefined
          ? ""
          : `; SET LOCAL lock_timeout = ${lockTimeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleTransactionTimeoutMs}`;
      return new PgTransaction(client, {
        begin: `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE${settings}`,
        deadlineMs: statementDeadlineMs,
        released: leave,
        retire: (processId) => this.#retire(processId),
      });
    } catch (error) {
      leave();
      throw error;
    }
  }

  async listen(channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    return this.#listener.listen(channel, listener);
  }

  async close(): Promise<void> {
    await this.#listener.close();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    if (this.#settings.pool === undefined && !this.#pool.ending) await this.#pool.end();
  }

  async #run<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const client = await this.#connect();
    try {
      const { name, text, values } = statement;
      const query = { name, text, values: [...values], query_timeout: this.#settings.statementDeadlineMs };
      const { rows, rowCount } = await client.query(query);
      client.release();
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    } catch (error) {
      const usable = isPlainError(error);
      const processId = processIdOf(client);
      end(client, usable);
      if (!usable) await this.#retire(processId);
      throw failureOf(error, true);
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      const client = await withDeadline(this.#pool.connect(), this.#settings.statementDeadlineMs, (late) =>
        late.release(),
      );
      if (!this.#guarded.has(client)) {
        this.#guarded.add(client);
        client.on("error", ignore);
      }
      return client;
    } catch (error) {
      throw failureOf(error, false);
    }
  }

  /**
   * Sees to it that a server process whose connection was lost writes nothing any more, so that who reads back what it may
   * have written reads the last word. Best effort: behind a pooler the process is not ours to end.
   */
  async #retire(processId: number | null): Promise<void> {
    if (processId === null) return;
    try {
      const client = await this.#connect();
      try {
        const text = `SELECT pg_terminate_backend($1, 2000) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user`;
        await client.query({ text, values: [processId], query_timeout: 4_000 } as {
          text: string;
          values: unknown[];
        });
        client.release();
      } catch (error) {
        end(client, isPlainError(error));
      }
    } catch {
      // No connection at all: the outcome stays unknown, as the failure that led here says.
    }
  }

  async #follow<Result>(work: Promise<Result>): Promise<Result> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
}

function poolConfig(settings: PostgresSettings): PoolConfig {
  return {
    application_name: "holdfast",
    keepAlive: true,
    connectionTimeoutMillis: Math.min(settings.statementDeadlineMs, 10_000),
    idleTimeoutMillis: 60_000,
    ...settings.client,
    ...(settings.connectionString === undefined ? {} : { connectionString: settings.connectionString }),
    max: settings.poolSize,
    pipeline: true,
    lock_timeout: settings.lockTimeoutMs,
    // The server gives up first: then its answer says that nothing was written.
    statement_timeout: Math.max(10, Math.floor(settings.statementDeadlineMs * 0.8)),
    idle_in_transaction_session_timeout: settings.idleTransactionTimeoutMs,
  };
}

/** A pool hides its password from enumeration, so that a copy of its options lacks it. */
function withPassword(options: PoolConfig): PoolConfig {
  return options.password === undefined ? {} : { password: options.password };
}

/** Rejects when `work` takes too long, and hands what comes later to `late`. */
async function withDeadline<Result>(
  work: Promise<Result>,
  deadlineMs: number,
  late: (result: Result) => void,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  let isLate = false;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error(`no connection within ${deadlineMs} ms`));
    }, deadlineMs);
  });
  work.then(
    (result) => {
      if (isLate) late(result);
    },
    () => undefined,
  );
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

function ignore(): void {
  // Whoever uses the connection next finds out; the pool has dropped it already.
}
