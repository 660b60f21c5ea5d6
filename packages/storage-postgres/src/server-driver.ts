// ServerDriver: SqlDriver on a PostgreSQL server, whatever client library is below.
//
// One pool for everything. Handlers' transactions may hold only a part of it, so that the statements of the runtime, lease
// refreshes among them, always find a connection, whatever handlers wait for.
//
//   S1  A connection goes back to the pool only in a known state: idle, no transaction, no statement under way. Any doubt
//       ends it.
//   S2  Every statement has a deadline here, beyond the server's own, for servers that do not answer at all.
//   S3  Whose outcome is unknown is told so only after its server process was ended, if that could be done: who reads back
//       then reads the last word. Where the server was out of reach for that, it is done before the next write goes out: what
//       comes late would undo that one.
//   S4  What is urgent does not wait for one session: where that is silent for long, a new one is asked, too, and whichever
//       answers first counts.
//   S5  Behind a pooler nothing rests on the session: each statement brings its settings in a transaction of its own.

import type {
  LaterNative,
  SqlDriver,
  SqlListener,
  SqlResult,
  SqlStatement,
  SqlTransaction,
} from "./driver.ts";
import { failureOf, isPlainError, isReadOnly, isSpoilt, poolerConfig, SqlFailure } from "./errors.ts";
import { Listener } from "./listener.ts";
import type { PostgresSettings } from "./options.ts";
import type { ServerConnection, ServerPool } from "./server-connection.ts";
import { ServerTransaction } from "./server-transaction.ts";
import { beginText } from "./session-settings.ts";
import { Turnstile } from "./turnstile.ts";
import { within } from "./within.ts";

const LANES = 2;
/** How long the server may take to end a process, and all of it together, if a statement may take that long. */
const TERMINATION_MS = 2_000;
const RETIREMENT_MS = 5_000;
const RETIREMENT_PAUSE_MS = 100;
/** Until then most answers have come, and a lease has time for another try. */
const SILENCE_MS = 3_000;
/** How long a text that fails has the pool renewed no second time, and of how many texts that is kept. */
const NEXT_RENEWAL_MS = 60_000;
const MOST_OUTDATED = 200;
/** Who does nothing for so many seconds while somebody waits stands still. */
const IDLE_S = 1;

export class ServerDriver implements SqlDriver {
  readonly lanes: number = LANES;
  readonly prepares: boolean;
  readonly listens: boolean;
  readonly hearsOthers: boolean;
  readonly laterNative: LaterNative;
  readonly #settings: PostgresSettings;
  readonly #pool: ServerPool;
  readonly #listening: ServerPool | null;
  readonly #listener: Listener;
  readonly #transactions: Turnstile;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Server processes that were out of reach when their sessions had been lost, and since when (S3). */
  readonly #left = new Map<number, number>();
  /** When each text of users' last had the pool renewed, as one whose parameters' types may have changed. */
  readonly #outdatedAt = new Map<string, number>();
  /** How often the pool was renewed. */
  #renewals = 0;
  /** Whether what stands between makes up the server processes that sessions have, as PgBouncer does in each of its modes. */
  #isProxied: boolean;

  /** @param listening where sessions that listen come from; null: notifications do not come through here */
  constructor(pool: ServerPool, listening: ServerPool | null, settings: PostgresSettings) {
    this.prepares = settings.prepare;
    this.#settings = settings;
    this.#isProxied = settings.pooler !== null;
    this.#pool = pool;
    this.#listening = listening;
    this.listens = listening !== null;
    this.hearsOthers = listening !== null;
    this.laterNative = pool.laterNative;
    this.#listener = new Listener((events) => (listening ?? pool).openListener(events));
    const forTransactions = pool.size - Math.min(4, Math.floor(pool.size / 2));
    this.#transactions = new Turnstile(Math.max(1, forTransactions));
  }

  /**
   * Finds out whether the server is behind a proxy. To be called before anything else.
   *
   * @throws {SqlFailure} @throws {ConfigError} behind one that keeps no sessions, and not told so
   */
  async meet(): Promise<void> {
    if (this.#isProxied) return;
    const connection = await this.#connect();
    let isUsable = false;
    try {
      const processId = await processOf(connection);
      this.#isProxied = processId !== connection.processId;
      if (this.#isProxied && this.#pool.size > 1) await this.#assertOther(processId);
      isUsable = true;
    } finally {
      connection.release(isUsable);
    }
  }

  /** While a session is there, a proxy that keeps sessions gives its server process to no other one. @throws {ConfigError} */
  async #assertOther(processId: number | undefined): Promise<void> {
    // Where none is to be had, they are kept: by who shares the pool and waits for a second one itself, or by the proxy.
    const other = await this.#connect().catch(() => null);
    if (other === null) return;
    let isUsable = false;
    try {
      if ((await processOf(other)) === processId) throw poolerConfig();
      isUsable = true;
    } finally {
      other.release(isUsable);
    }
  }

  async run<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    return statement.isUrgent === true ? this.#runUrgent(statement) : this.#runOnce(statement);
  }

  async begin(): Promise<SqlTransaction> {
    const { transactionWaitMs } = this.#settings;
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
      const connection = await this.#connect();
      const transaction = this.#transaction(connection, leave, true);
      // The first statement waits for the answer to BEGIN in any case: here none leaves that would not be in a transaction.
      if (!connection.isPipelined) await transaction.begun();
      return transaction;
    } catch (error) {
      leave();
      throw error;
    }
  }

  async listen(channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    if (!this.listens) return async () => undefined;
    return this.#listener.listen(channel, listener);
  }

  async close(): Promise<void> {
    await this.#listener.close();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    await this.#pool.end();
    if (this.#listening !== this.#pool) await this.#listening?.end();
  }

  async #runUrgent<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const renewals = this.#renewals;
    const first = this.#runOnce<Row>(statement);
    const silence = Promise.withResolvers<"silence">();
    // Before the session's own deadline, after which nobody waits for it any more.
    const silenceMs = Math.min(SILENCE_MS, this.#settings.statementDeadlineMs / 2);
    const timer = setTimeout(() => silence.resolve("silence"), silenceMs);
    try {
      const answer = await Promise.race([first, silence.promise]);
      if (answer !== "silence") return answer;
    } finally {
      clearTimeout(timer);
    }
    this.#renewSince(renewals);
    const answers = [first, this.#runOnce<Row>(statement)];
    // Where both fail, the first says why.
    return Promise.any(answers).catch(() => first);
  }

  #runOnce<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const run = (): Promise<SqlResult<Row>> =>
      this.#settings.pooler === null ? this.#run<Row>(statement) : this.#runPooled<Row>(statement);
    const follows = this.#left.size > 0 && statement.isRead !== true && statement.isUrgent !== true;
    return this.#follow(follows ? this.#endLeft().then(run) : run());
  }

  async #run<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const renewals = this.#renewals;
    const connection = await this.#connect();
    try {
      const { rows, rowCount } = await connection.run<Row>(statement);
      connection.release(true);
      return { rows, rowCount };
    } catch (error) {
      const isUsable = isPlainError(error);
      const processId = this.#isProxied ? null : connection.processId;
      // The other sessions may be on that server, too. New ones may lead to the primary.
      if (isReadOnly(error)) this.#renewSince(renewals);
      connection.release(isUsable && !isSpoilt(error));
      const isGone = !isUsable && statement.isRead !== true && (await this.#retire(processId, false));
      throw failureOf(error, true, isGone);
    }
  }

  /** Of many that meet the same, one renews: sessions that were made since then are none of those that they met. */
  #renewSince(renewals: number): void {
    if (renewals !== this.#renewals) return;
    this.#renewals += 1;
    this.#pool.renew();
  }

  /**
   * Sessions keep the types that the parameters of a text had when it was prepared there. New ones have it prepared anew, once in a
   * while: it may as well have been the value that is wrong.
   */
  #outdated(text: string, renewals: number): boolean {
    if (renewals !== this.#renewals) return true;
    const now = performance.now();
    if (now - (this.#outdatedAt.get(text) ?? -Infinity) < NEXT_RENEWAL_MS) return false;
    if (this.#outdatedAt.size >= MOST_OUTDATED) this.#outdatedAt.clear();
    this.#outdatedAt.set(text, now);
    this.#renewSince(renewals);
    return true;
  }

  /** BEGIN, the statement and COMMIT leave together: still one trip where the connection is pipelined. */
  async #runPooled<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const transaction = this.#transaction(await this.#connect(), () => undefined, false);
    return transaction.commitAfter<Row>(statement);
  }

  #transaction(connection: ServerConnection, released: () => void, isPatient: boolean): ServerTransaction {
    // What a proxy does not know of a session's settings it leaves away.
    const begin = beginText(this.#settings, !this.#isProxied && this.#settings.pool === undefined);
    const renewals = this.#renewals;
    return new ServerTransaction(connection, {
      begin: this.#isProxied ? `${begin}; SELECT pg_backend_pid() AS pid` : begin,
      saysProcess: this.#isProxied,
      released,
      outdated: (text) => this.#outdated(text, renewals),
      retire: (processId) => this.#retire(processId, isPatient),
    });
  }

  async #connect(): Promise<ServerConnection> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw failureOf(error, false);
    }
  }

  /**
   * Sees to it that a server process whose connection was lost writes nothing any more. Resolves to whether it is surely
   * gone. Never rejects: where it cannot be known, the outcome stays unknown.
   *
   * @param isPatient waits for a server that starts again, and for the standby that a commit waits for
   */
  async #retire(processId: number | null, isPatient: boolean): Promise<boolean> {
    if (processId === null) return false;
    const lostAt = performance.now();
    const givesUpAt = lostAt + this.#patienceMs;
    for (;;) {
      const leftMs = givesUpAt - performance.now();
      if (leftMs <= 0) return false;
      try {
        const isGone = await within(
          this.#terminate(processId, null),
          leftMs,
          "the server process could not be ended",
        );
        this.#left.delete(processId);
        if (isGone) return true;
      } catch {
        // Asked again, too.
        this.#left.set(processId, lostAt);
      }
      if (!isPatient) return false;
      await new Promise((resolve) => setTimeout(resolve, RETIREMENT_PAUSE_MS));
    }
  }

  /**
   * Ends what was out of reach (S3). Where the server does not let it, or does not come to that, it is left: a write that waits
   * for its standby has its locks, and what comes now waits for those.
   *
   * @throws {SqlFailure} it is out of reach still; nothing was sent
   */
  async #endLeft(): Promise<void> {
    for (const [processId, lostAt] of this.#left) {
      try {
        const what = "the server process of a connection that was lost could not be ended";
        await within(this.#terminate(processId, lostAt), this.#patienceMs, what);
      } catch (error) {
        if (!isPlainError(error)) throw failureOf(error, false);
      }
      this.#left.delete(processId);
    }
  }

  get #patienceMs(): number {
    return Math.min(RETIREMENT_MS, this.#settings.statementDeadlineMs);
  }

  /** @param lostAt later ones are left: a server that started again may have given another session its number; null: none was */
  async #terminate(processId: number, lostAt: number | null): Promise<boolean> {
    const connection = await this.#connect();
    try {
      // The time-out makes the function wait until the process is gone. Another user's process is none of ours: that of a session is
      // the user's who logged in, whatever role it took on. One whose commit waits for a synchronous standby is left to wait: if it
      // were ended, everybody would see what the standby may not have, and that would be lost when the standby takes over.
      const { rows } = await connection.query<{ gone: boolean }>(
        `SELECT coalesce(bool_and(CASE WHEN wait_event = 'SyncRep' THEN false
             ELSE pg_terminate_backend(pid, ${TERMINATION_MS}) END), true) AS gone
           FROM pg_stat_activity WHERE pid = $1 AND usename = session_user AND pid <> pg_backend_pid()
             AND ($2::float8 IS NULL OR backend_start < clock_timestamp() - make_interval(secs => $2::float8))`,
        [processId, lostAt === null ? null : (performance.now() - lostAt) / 1_000],
      );
      connection.release(true);
      return rows[0]?.gone === true;
    } catch (error) {
      connection.release(isPlainError(error));
      throw error;
    }
  }

  async unblock(text: string): Promise<number> {
    const { rows } = await this.run({
      name: "holdfast_unblock",
      text: `SELECT pg_terminate_backend(b.pid) FROM pg_stat_activity w
        CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS u (pid) JOIN pg_stat_activity b ON b.pid = u.pid
        WHERE w.query = $1 AND w.wait_event_type = 'Lock' AND w.datid = b.datid AND b.usename = session_user
          AND b.state = 'idle in transaction' AND b.state_change < clock_timestamp() - make_interval(secs => $2)`,
      values: [text, IDLE_S],
      isRead: true,
    });
    return rows.length;
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

/** The server process that carries out what a session asks for now. Not prepared: it may be another one each time. */
async function processOf(connection: ServerConnection): Promise<number | undefined> {
  const { rows } = await connection.script<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid;
}
