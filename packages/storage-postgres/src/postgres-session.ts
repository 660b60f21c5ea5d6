// PostgresSession: what the storages of one `open()` share: the driver, the committer, and whether it is still open.

import { TransactionUnavailableError, type Clock, type Epoch, type Fence } from "@holdfast/core/adapter";
import type { SqlDriver, SqlListener, SqlStatement, SqlTransaction, SqlValue } from "./driver.ts";
import {
  closedError,
  failureOf,
  FENCED_STATE,
  fencedError,
  persistenceError,
  SqlFailure,
  undone,
} from "./errors.ts";
import { Gate } from "./gate.ts";
import { GroupCommitter, type PendingWrite } from "./group-committer.ts";
import type { CommonSettings } from "./options.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";
import { placesOf, writeGroupResults } from "./write-group.ts";
import type { WriteOp, WriteResult } from "./write-op.ts";
import { commitStatement, JOURNAL_CONSTRAINT, writeStatement } from "./write-statement.ts";

/** A take-over that took so long may wait for somebody who stands still. */
const PATIENCE_MS = 1_000;
const NEXT_LOOK_MS = 50;

export class PostgresSession {
  readonly driver: SqlDriver;
  readonly clock: Clock;
  readonly schema: string;
  readonly gate: Gate = new Gate();
  readonly #committer: GroupCommitter;
  readonly #transactions = new Set<PostgresTransaction>();
  readonly #endings: (() => Promise<void>)[] = [];
  #closing: Promise<void> | null = null;

  constructor(driver: SqlDriver, clock: Clock, settings: CommonSettings) {
    this.driver = driver;
    this.clock = clock;
    this.schema = settings.schema;
    this.#committer = new GroupCommitter({
      lanes: driver.lanes,
      maxRows: settings.maxGroupRows,
      write: async (group) => {
        const places = placesOf(group);
        const { rows } = await driver.run<{ answer: string }>(
          writeStatement(this.schema, group, {
            now: clock.now(),
            gate: this.gate.for(places.keys()),
            places,
          }),
        );
        return writeGroupResults(group, (rows[0] as { answer: string }).answer, places);
      },
    });
  }

  /** @throws {PersistenceError} the session was closed; nothing was written */
  assertOpen(operation: string): void {
    if (this.#closing !== null) throw closedError(operation);
  }

  /** Calls a function of the schema that writes, and returns its rows. @throws {PersistenceError} */
  async call<Row>(operation: string, functionName: string, values: readonly SqlValue[]): Promise<Row[]> {
    return this.run(operation, this.#functionCall(functionName, values));
  }

  /**
   * Calls a function that takes over what others may have locked. A process that stands still between the last statement of
   * a transaction and its COMMIT would hold it up until `idleTransactionTimeout` is over, and may not commit any more.
   */
  async takeOver<Row>(operation: string, functionName: string, values: readonly SqlValue[]): Promise<Row[]> {
    const statement = this.#functionCall(functionName, values);
    let isOver = false;
    const look = (): void => {
      const unblocking = this.driver.unblock?.(statement.text) ?? Promise.resolve(0);
      // Best effort: the server's own limits end it otherwise. Behind one that was ended the next may come to light.
      void unblocking
        .catch(() => 0)
        .then((ended) => {
          if (!isOver) timer = this.clock.setTimer(ended > 0 ? NEXT_LOOK_MS : PATIENCE_MS, look);
        });
    };
    let timer = this.clock.setTimer(PATIENCE_MS, look);
    try {
      return await this.run(operation, statement);
    } finally {
      isOver = true;
      timer.cancel();
    }
  }

  /** Calls a function of the schema that writes under a fence, and returns its rows. @throws {FencedError} @throws {PersistenceError} */
  async callFenced<Row>(
    operation: string,
    functionName: string,
    values: readonly SqlValue[],
    fence: Fence,
  ): Promise<Row[]> {
    this.assertOpen(operation);
    try {
      return (await this.driver.run<Row>(this.#functionCall(functionName, values))).rows;
    } catch (error) {
      if (error instanceof SqlFailure && error.sqlState === FENCED_STATE)
        throw fencedError(fence, epochOf(error));
      throw persistenceError(operation, error);
    }
  }

  /** Calls a function of the schema that only reads. @throws {PersistenceError} `not-written` */
  async read<Row>(operation: string, functionName: string, values: readonly SqlValue[]): Promise<Row[]> {
    return this.query(operation, this.#functionCall(functionName, values));
  }

  /** Runs one statement that writes. @throws {PersistenceError} */
  async run<Row>(operation: string, statement: SqlStatement): Promise<Row[]> {
    this.assertOpen(operation);
    try {
      return (await this.driver.run<Row>(statement)).rows;
    } catch (error) {
      throw persistenceError(operation, error);
    }
  }

  /** Runs one statement that only reads. @throws {PersistenceError} `not-written` */
  async query<Row>(operation: string, statement: SqlStatement): Promise<Row[]> {
    this.assertOpen(operation);
    try {
      return (await this.driver.run<Row>({ ...statement, isRead: true })).rows;
    } catch (error) {
      throw persistenceError(operation, undone(error));
    }
  }

  /** Writes with the next group. @throws {FencedError} @throws {PersistenceError} */
  write(operation: string, op: WriteOp): Promise<Exclude<WriteResult, { type: "fenced" }>> {
    return new Promise((resolve, reject) => {
      this.assertOpen(operation);
      this.#committer.write(new SessionWrite(operation, op, resolve, reject));
    });
  }

  /** The same for a write that cannot be refused. */
  append(operation: string, op: WriteOp): Promise<void> {
    return new Promise((resolve, reject) => {
      this.assertOpen(operation);
      this.#committer.write(new SessionWrite(operation, op, () => resolve(), reject));
    });
  }

  /**
   * Writes in a handler's transaction, and commits it. If the connection is lost at COMMIT, what came of it is read back.
   *
   * @param isRecorded reads whether `op` is in the database
   * @returns `refused` if `op` was refused and everything rolled back, `recorded` if it was found after a loss
   * @throws {FencedError} rolled back, or another runner owns the shard since
   * @throws {TransactionUnavailableError} one of its statements failed before, or what they wrote was refused at COMMIT, so it
   *   was rolled back
   * @throws {PersistenceError} `not-written` is rolled back
   */
  async commit(
    operation: string,
    op: WriteOp & { readonly fence: Fence },
    transaction: PostgresTransaction,
    isRecorded: () => Promise<boolean>,
  ): Promise<"committed" | "refused" | "recorded"> {
    try {
      this.assertOpen(operation);
      await transaction.commitAfter(
        commitStatement(this.schema, op, { now: this.clock.now(), isPrepared: this.driver.prepares }),
      );
      return "committed";
    } catch (error) {
      await transaction.rollback().catch(() => undefined);
      if (error instanceof TransactionUnavailableError) throw error;
      if (!(error instanceof SqlFailure)) throw persistenceError(operation, error);
      if (error.outcome === "unknown" && error.isSettled) {
        await this.#readBack(operation, op.fence, error, isRecorded);
        return "recorded";
      }
      if (error.outcome === "not-written") {
        if (error.sqlState === FENCED_STATE) throw fencedError(op.fence, epochOf(error));
        if (error.sqlState?.startsWith("HF") === true) return "refused";
        if (error.constraint === `${this.schema}.${JOURNAL_CONSTRAINT}`) return "refused";
      }
      throw persistenceError(operation, error);
    }
  }

  /**
   * Resolves if a commit of which nobody heard happened. Its server process is gone, so what is not there never will be.
   * What is there is this caller's own if nobody claimed the shard since, which the lock on its row makes sure of.
   *
   * @throws {FencedError} @throws {PersistenceError} `not-written` where it did not happen
   */
  async #readBack(
    operation: string,
    fence: Fence,
    lost: SqlFailure,
    isRecorded: () => Promise<boolean>,
  ): Promise<void> {
    let epoch: Epoch | null;
    let isThere: boolean;
    try {
      const { rows } = await this.driver.run<{ epoch: string | number }>({
        name: "holdfast_lock_shard",
        text: `SELECT epoch FROM "${this.schema}".shards WHERE shard_id = $1 FOR UPDATE`,
        values: [fence.shardId],
      });
      epoch = rows[0] === undefined ? null : Number(rows[0].epoch);
      isThere = await isRecorded();
    } catch {
      // The outcome stays unknown.
      throw persistenceError(operation, lost);
    }
    if (epoch !== fence.epoch) throw fencedError(fence, epoch);
    if (isThere) return;
    throw persistenceError(operation, undone(lost));
  }

  /** Calls `listener` for the notifications of a channel. Resolves to what ends that. @throws {PersistenceError} */
  async listen(operation: string, channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    this.assertOpen(operation);
    const failed = (error: unknown): never => {
      throw persistenceError(operation, failureOf(error, false));
    };
    const end = await this.driver.listen(channel, listener).catch(failed);
    return () => end().catch(failed);
  }

  beginTransaction(after?: Promise<unknown>): PostgresTransaction {
    const begin = (): Promise<SqlTransaction> => {
      this.assertOpen("a transaction");
      return this.driver.begin();
    };
    const transaction = new PostgresTransaction(
      after === undefined ? begin : () => after.then(begin),
      () => this.#transactions.delete(transaction),
      this.driver.laterNative,
    );
    this.#transactions.add(transaction);
    return transaction;
  }

  /** Has `end` called when the session closes, after the last write. */
  onClose(end: () => Promise<void>): void {
    this.#endings.push(end);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #functionCall(functionName: string, values: readonly SqlValue[]): SqlStatement {
    const places = values.map((_, index) => `$${index + 1}`).join(", ");
    return {
      name: `holdfast_${functionName}`,
      text: `SELECT * FROM "${this.schema}".${functionName}(${places})`,
      values,
    };
  }

  async #close(): Promise<void> {
    // A transaction of a handler that nobody waits for any more: on PGlite the last writes wait behind it.
    await Promise.allSettled(Array.from(this.#transactions, (transaction) => transaction.rollback()));
    await this.#committer.drained();
    // What cannot be ended by itself ends with the driver.
    for (const end of this.#endings) await end().catch(() => undefined);
    await this.driver.close();
  }
}

/** The function that refuses a stale fence says the shard's epoch as the detail. */
function epochOf(failure: SqlFailure): Epoch | null {
  const detail = failure.serverDetail ?? "";
  return detail === "" ? null : Number(detail);
}

/** A write as its caller hears of it. A class, since nearly each execution in memory has one under way. */
class SessionWrite implements PendingWrite {
  op: WriteOp;
  readonly #operation: string;
  readonly #resolve: (result: Exclude<WriteResult, { type: "fenced" }>) => void;
  readonly #reject: (error: Error) => void;

  constructor(
    operation: string,
    op: WriteOp,
    resolve: (result: Exclude<WriteResult, { type: "fenced" }>) => void,
    reject: (error: Error) => void,
  ) {
    this.op = op;
    this.#operation = operation;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  resolve(result: WriteResult): void {
    if (result.type !== "fenced") this.#resolve(result);
    else this.#reject(fencedError(this.op.fence as NonNullable<WriteOp["fence"]>, result.current));
  }

  reject(error: SqlFailure): void {
    this.#reject(persistenceError(this.#operation, error));
  }
}
