// SqliteSession: what the storages of one `open` share: the way to read and the way to write.
//
// Two connections: one reads what is committed, at any time; the other writes. Knows no table but the one of epochs.
//
//   S1  Whoever writes has the file's write lock from the first statement on (BEGIN IMMEDIATE): there is one at a time, in
//       all processes. So nobody claims a shard between a look at its epoch and the commit (INV-1), and a claim waits for
//       who was first.
//   S2  Writes of this session are committed in the order in which they were asked for.
//   S3  A call never blocks the process to wait for another's lock: it tries again by a timer. The other may be in this
//       process, and could not end then.

import {
  FencedError,
  TransactionUnavailableError,
  type Clock,
  type Epoch,
  type Fence,
} from "@holdfast/core/adapter";
import { isBusy, isConstraint, notWritten, outwardError } from "./errors.ts";
import type { SqliteSettings } from "./options.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { WriteGroups } from "./write-groups.ts";
import { WriteTurns } from "./write-turns.ts";

/** A transaction that may write. */
export interface Begun {
  readonly connection: SqliteConnection;
  /** Ends the turn. Called once, after commit or rollback. */
  readonly end: () => void;
}

const FIRST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 20;

export class SqliteSession {
  readonly clock: Clock;
  readonly settings: SqliteSettings;
  readonly #reader: SqliteConnection;
  readonly #writer: SqliteConnection;
  readonly #turns: WriteTurns;
  readonly #groups: WriteGroups;
  #isClosed = false;

  constructor(
    connections: { readonly reader: SqliteConnection; readonly writer: SqliteConnection },
    settings: SqliteSettings,
    clock: Clock,
  ) {
    this.#reader = connections.reader;
    this.#writer = connections.writer;
    this.settings = settings;
    this.clock = clock;
    this.#turns = new WriteTurns(clock);
    this.#groups = new WriteGroups((operation) => this.#begin(operation));
  }

  /** Reads in one snapshot: what `work` sees is of one moment. @throws {PersistenceError} */
  async read<Result>(operation: string, work: (connection: SqliteConnection) => Result): Promise<Result> {
    this.assertOpen(operation);
    return whenFree(this.clock, this.settings.busyTimeoutMs, operation, () => {
      this.#reader.exec("BEGIN");
      try {
        return work(this.#reader);
      } finally {
        this.#reader.rollback();
      }
    });
  }

  /**
   * Does `work` in a transaction, whole or not at all, maybe together with other writes: when this resolves it is on disk.
   *
   * @throws what `work` throws, and nothing was done; or {PersistenceError}
   */
  async write<Result>(operation: string, work: (connection: SqliteConnection) => Result): Promise<Result> {
    this.assertOpen(operation);
    return this.#groups.write(operation, work);
  }

  /** Begins a transaction that stays open. @throws {PersistenceError} others wrote for all of `busyTimeout` */
  async begin(operation: string): Promise<Begun> {
    this.assertOpen(operation);
    return this.#begin(operation);
  }

  /** Does `work` in the transaction that is open, and commits; on any failure it is rolled back. */
  commit<Result>(operation: string, work: (connection: SqliteConnection) => Result): Result {
    let result: Result;
    try {
      result = work(this.#writer);
    } catch (error) {
      this.#writer.rollback();
      throw outwardError(operation, "not-written", error);
    }
    try {
      this.#writer.exec("COMMIT");
    } catch (error) {
      this.#writer.rollback();
      if (!isConstraint(error)) throw outwardError(operation, "unknown", error);
      // Ours are never deferred: the user's statements broke it, and would again.
      const why = "it breaks a deferred constraint of yours, so it cannot commit";
      throw new TransactionUnavailableError({ wanted: "sqlite", why }, { cause: error });
    }
    return result;
  }

  assertOpen(operation: string): void {
    if (this.#isClosed) throw notWritten(operation, "this session of the storage was closed");
  }

  /** What was asked for before is written, or refused as what is asked for after is. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const end = await this.#turns.take();
    this.#reader.close();
    this.#writer.close();
    end();
  }

  async #begin(operation: string): Promise<Begun> {
    const { busyTimeoutMs } = this.settings;
    const deadline = this.clock.monotonic() + busyTimeoutMs;
    const end = await this.#turns.takeWithin(busyTimeoutMs);
    if (end === null)
      throw notWritten(
        operation,
        `it was not its turn to write within ${busyTimeoutMs} ms: others of this process wrote`,
      );
    try {
      const leftMs = Math.max(0, deadline - this.clock.monotonic());
      await whenFree(this.clock, leftMs, operation, () => this.#writer.exec("BEGIN IMMEDIATE"));
      return { connection: this.#writer, end };
    } catch (error) {
      end();
      throw error;
    }
  }
}

/** Calls `work`, which does nothing where it fails, until nobody is in its way. @throws {PersistenceError} nothing was written */
export async function whenFree<Result>(
  clock: Clock,
  busyTimeoutMs: number,
  operation: string,
  work: () => Result,
): Promise<Result> {
  const deadline = clock.monotonic() + busyTimeoutMs;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || clock.monotonic() >= deadline)
        throw outwardError(operation, "not-written", error);
    }
    await new Promise<void>((resolve) => {
      clock.setTimer(waitMs, resolve);
    });
  }
}

/** @throws {FencedError} the shard was claimed again, or never under this epoch */
export function checkFence(connection: SqliteConnection, fence: Fence): void {
  const { shardId } = fence;
  const row = connection.get<{ epoch: Epoch }>(
    "SELECT epoch FROM holdfast_shards WHERE shard_id = :shardId",
    {
      shardId,
    },
  );
  if (row?.epoch !== fence.epoch) throw new FencedError({ ...fence, current: row?.epoch ?? null });
}
