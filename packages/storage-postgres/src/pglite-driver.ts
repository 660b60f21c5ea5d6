// PGliteDriver: SqlDriver on PGlite, PostgreSQL inside of this process.
//
// PGlite has one session. A transaction holds it until it ends, and every other statement waits, also one that this very
// transaction's handler waits for in another entity: nobody could ever go on. Three limits end such a wait.
//
//   L1  A statement that waits longer than its deadline is taken out of the queue and fails: surely nothing was written.
//   L2  A transaction that does nothing for longer than its limit is rolled back, and the session goes to the next.
//   L3  So is one that takes too long in all, whatever it does.
//
// It works on this very thread, and its promises wait for nothing.
//
//   L4  A turn of the event loop lies between two who have the session: timers and sockets wait for one at the most.
//   L5  What is urgent is next: a lease is refreshed whatever waits, also as many transactions as take longer than it lasts.

import { afterTurn } from "./after-turn.ts";
import type {
  LaterNative,
  SqlDriver,
  SqlListener,
  SqlResult,
  SqlStatement,
  SqlTransaction,
} from "./driver.ts";
import { failureOf, SqlFailure } from "./errors.ts";
import { laterClient } from "./later-client.ts";
import type { PGliteInstance, PGliteSettings } from "./options.ts";
import { PGLITE_METHODS, PGliteTransaction } from "./pglite-transaction.ts";
import type { Turnstile } from "./turnstile.ts";

export class PGliteDriver implements SqlDriver {
  readonly lanes: number = 1;
  readonly listens: boolean = true;
  readonly hearsOthers: boolean = false;
  readonly prepares: boolean = false;
  readonly laterNative: LaterNative = (begin) => laterClient(PGLITE_METHODS, begin);
  readonly #instance: PGliteInstance;
  readonly #session: Turnstile;
  readonly #settings: PGliteSettings;
  readonly #closed: () => Promise<void>;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #endings = new Set<() => Promise<void>>();

  /**
   * @param session the queue for the instance's one session, shared by all who use the instance
   * @param closed called when this driver needs the instance no longer
   */
  constructor(
    instance: PGliteInstance,
    session: Turnstile,
    settings: PGliteSettings,
    closed: () => Promise<void>,
  ) {
    this.#instance = instance;
    this.#session = session;
    this.#settings = settings;
    this.#closed = closed;
  }

  async run<Row>(statement: SqlStatement): Promise<SqlResult<Row>> {
    const work = this.#run<Row>(statement);
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async begin(): Promise<SqlTransaction> {
    const leave = await this.#enter(this.#settings.transactionWaitMs);
    const transaction = new PGliteTransaction(this.#instance, {
      idleLimitMs: this.#settings.idleTransactionTimeoutMs,
      deadlineMs: this.#settings.transactionDeadlineMs,
      released: leave,
    });
    await transaction.begun();
    return transaction;
  }

  async listen(channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    const leave = await this.#enter(this.#settings.statementDeadlineMs);
    let unlisten: () => Promise<void>;
    try {
      unlisten = await this.#instance.listen(`"${channel}"`, (payload) => listener.heard(payload));
    } catch (error) {
      throw failureOf(error, false);
    } finally {
      leave();
    }
    const end = async (): Promise<void> => {
      if (!this.#endings.delete(end)) return;
      const leaveAgain = await this.#enter(this.#settings.statementDeadlineMs);
      await unlisten().finally(leaveAgain);
    };
    this.#endings.add(end);
    return end;
  }

  async close(): Promise<void> {
    for (const end of this.#endings) await end().catch(() => undefined);
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    // A transaction that is on its way to its commit, this driver's or another one's.
    const leave = await this.#session.enter(this.#settings.statementDeadlineMs);
    leave?.();
    await this.#closed();
  }

  async #run<Row>({ text, values, isUrgent }: SqlStatement): Promise<SqlResult<Row>> {
    const leave = await this.#enter(this.#settings.statementDeadlineMs, isUrgent);
    try {
      const { rows, affectedRows } = await this.#instance.query<Row>(text, [...values]);
      return { rows, rowCount: affectedRows ?? rows.length };
    } catch (error) {
      throw failureOf(error, true);
    } finally {
      leave();
    }
  }

  async #enter(patienceMs: number, isUrgent?: boolean): Promise<() => void> {
    const leave = await this.#session.enter(patienceMs, isUrgent);
    if (leave !== null) return () => void afterTurn(leave);
    throw new SqlFailure({
      outcome: "not-written",
      sqlState: null,
      message:
        `PGlite has one session, and it was not free within ${patienceMs} ms. A handler that holds a transaction must not ` +
        `wait for another entity here: end the transaction first, or use a PostgreSQL server`,
    });
  }
}
