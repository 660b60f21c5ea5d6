import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  ConfigError,
  PersistenceError,
  SerializationError,
  TransactionUnavailableError,
  type Fence,
  type OpenStorage,
} from "@holdfast/core/adapter";
import { adapterServices } from "@holdfast/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sqlite, storageFromUrl, type SqliteOptions } from "../src/index.ts";
import { makeDurable } from "../src/open-sqlite.ts";
import { SqliteConnection } from "../src/sqlite-connection.ts";
import { opened } from "./backends.ts";
import type { SqliteTransaction } from "../src/sqlite-transaction.ts";

let folder: string;
let path: string;
let sessions: OpenStorage[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-sqlite-"));
  path = join(folder, "holdfast.db");
  sessions = [];
});
afterEach(async () => {
  for (const session of sessions) await session.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(options: Partial<SqliteOptions> = {}): Promise<OpenStorage> {
  const session = await sqlite({ path, ...options }).open(adapterServices());
  sessions.push(session);
  return session;
}

const fence: Fence = { shardId: "default:1", epoch: 1 };

/** Saves a request, and returns its id. */
async function pending({ messages }: OpenStorage, requestId = "r1"): Promise<string> {
  await messages.saveRequest(
    {
      requestId,
      address: { entityType: "Counter", entityId: "a", shardId: "default:1" },
      tag: "add",
      payload: "{}",
      headers: {},
      persisted: true,
      expects: "reply",
      deduplicationKey: null,
      deliverAt: null,
      uninterruptible: false,
      fromInside: false,
      sender: "test",
      readPendingFirst: false,
    },
    0,
    null,
  );
  return requestId;
}

function begin({ messages }: OpenStorage): SqliteTransaction {
  return opened(messages.beginTransaction?.());
}

function reply({ messages }: OpenStorage, requestId: string, transaction: SqliteTransaction | null) {
  return messages.saveReply({ requestId, exit: { ok: true, value: "1" } }, fence, transaction);
}

describe("a handler's transaction", () => {
  let session: OpenStorage;
  let requestId: string;
  const effects = (): unknown[] => {
    const database = new DatabaseSync(path, { readOnly: true });
    const rows = database.prepare("SELECT key FROM effects").all();
    database.close();
    return rows;
  };

  beforeEach(async () => {
    session = await open();
    const database = new DatabaseSync(path);
    database.exec("CREATE TABLE effects (key TEXT UNIQUE)");
    database.exec("CREATE TABLE owners (key TEXT REFERENCES effects (key) DEFERRABLE INITIALLY DEFERRED)");
    database.close();
    await session.messages.claimShards(["default:1"]);
    requestId = await pending(session);
  });

  it("sees its own writes, which nobody else does before it commits", async () => {
    const transaction = begin(session);
    await transaction.query("INSERT INTO effects VALUES (?)", ["a"]);
    expect(await transaction.query("SELECT key FROM effects")).toEqual([{ key: "a" }]);
    expect(effects()).toEqual([]);
    expect(await session.messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
    await reply(session, requestId, transaction);
    expect(effects()).toHaveLength(1);
  });

  it("commits what the handler did not wait for, or nothing", async () => {
    const transaction = begin(session);
    const inserting = transaction.query("INSERT INTO effects VALUES ('unawaited')");
    await reply(session, requestId, transaction);
    await inserting;
    expect(effects()).toHaveLength(1);

    const second = await pending(session, "r2");
    const failing = begin(session);
    const insertion = Promise.allSettled([failing.query("INSERT INTO effects VALUES ('unawaited')")]);
    await expect(reply(session, second, failing)).rejects.toBeInstanceOf(TransactionUnavailableError);
    expect(await insertion).toMatchObject([{ status: "rejected" }]);
    expect(await session.messages.lookUp([second])).toMatchObject([{ state: "pending" }]);
  });

  it("keeps other writes waiting, and is rolled back when it takes too long: that is no fault of the handler's", async () => {
    const hasty = await open({ transactionTimeout: 50 });
    const transaction = begin(hasty);
    await transaction.query("INSERT INTO effects VALUES ('late')");
    // Resolve only once the transaction let go.
    await Promise.all([pending(hasty, "r2"), pending(session, "r3")]);
    await expect(transaction.query("SELECT 1")).rejects.toMatchObject({ outcome: "not-written" });
    await expect(reply(hasty, requestId, transaction)).rejects.toBeInstanceOf(PersistenceError);
    expect(effects()).toEqual([]);
    await reply(session, requestId, null);
    // A handler that ends with it is attempted again, also where a query builder wrapped it.
    expect([transaction.lostWith, transaction.couldNotBegin]).toEqual([expect.any(PersistenceError), false]);
  });

  it("says that it could not begin where others write for all of busyTimeout: that attempt does not count", async () => {
    const transaction = begin(await open({ busyTimeout: 0 }));
    expect([transaction.lostWith, transaction.couldNotBegin]).toEqual([null, false]);
    const other = begin(session);
    await other.query("SELECT 1");
    const error = await transaction.query("SELECT 1").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PersistenceError);
    expect(transaction.lostWith).toBe(error);
    expect(transaction.couldNotBegin).toBe(true);
    await transaction.rollback();
    await other.rollback();
  });

  it("cannot commit what breaks a deferred constraint, and says whose it is", async () => {
    const transaction = begin(session);
    await transaction.query("INSERT INTO owners VALUES ('nobody')");
    await expect(reply(session, requestId, transaction)).rejects.toBeInstanceOf(TransactionUnavailableError);
    expect(await session.messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
    await reply(session, requestId, null);
  });

  it.each(["COMMIT", "ROLLBACK"])(
    "that the handler ended by a %s of its own records nothing",
    async (sql) => {
      const transaction = begin(session);
      await transaction.query("INSERT INTO effects VALUES ('a')");
      await transaction.query(sql);
      const late = transaction.query("INSERT INTO effects VALUES ('beside it')");
      await expect(late).rejects.toBeInstanceOf(TransactionUnavailableError);
      expect(effects()).toHaveLength(sql === "COMMIT" ? 1 : 0);
      await expect(reply(session, requestId, transaction)).rejects.toBeInstanceOf(
        TransactionUnavailableError,
      );
      expect(await session.messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
      await reply(session, requestId, null);
    },
  );

  it.each([
    ["SQLite has rolled everything back", "INSERT OR ROLLBACK INTO effects VALUES ('twice'), ('twice')"],
    ["SQLite has undone that one", "INSERT INTO effects VALUES ('twice'), ('twice')"],
    ["that was none", "INSERT INTO nothing VALUES (1)"],
  ])("runs nothing after a statement that failed, where %s", async (_where, sql) => {
    const transaction = begin(session);
    await transaction.query("INSERT INTO effects VALUES ('before')");
    const [, late] = await Promise.allSettled([
      transaction.query(sql),
      transaction.query("INSERT INTO effects VALUES ('after')"),
    ]);
    expect(late).toMatchObject({ status: "rejected", reason: { code: "TRANSACTION_UNAVAILABLE" } });
    await expect(transaction.query("SELECT 1")).rejects.toThrow(/failed \(.*\), so no other runs/);
    await expect(reply(session, requestId, transaction)).rejects.toBeInstanceOf(TransactionUnavailableError);
    expect(effects()).toEqual([]);
    await reply(session, requestId, null);
  });

  it("writes nothing beside it when the disk is full, also for a handler that goes on", async () => {
    const transaction = begin(session);
    // SQLite takes the number of pages that there are for it.
    await transaction.query("PRAGMA max_page_count = 1");
    await expect(transaction.query("INSERT INTO effects VALUES (?)", ["x".repeat(100_000)])).rejects.toThrow(
      "full",
    );
    const late = transaction.query("INSERT INTO effects VALUES ('small')");
    await expect(late).rejects.toBeInstanceOf(TransactionUnavailableError);
    await expect(reply(session, requestId, transaction)).rejects.toBeInstanceOf(TransactionUnavailableError);
    expect(effects()).toEqual([]);
  });

  it("says that nothing was written when the disk is full, and the storage goes on", async () => {
    const transaction = begin(session);
    // A limit of this connection, which is the one that writes.
    await transaction.query("PRAGMA max_page_count = 1");
    await transaction.rollback();
    const big = { requestId, exit: { ok: true, value: JSON.stringify("x".repeat(100_000)) } } as const;
    const [saving, small] = await Promise.allSettled([
      session.messages.saveReply(big, fence, null),
      session.messages.recordAttempt(requestId, 1, fence),
    ]);
    expect(saving).toMatchObject({ status: "rejected", reason: { outcome: "not-written" } });
    expect(saving.status === "rejected" && saving.reason).toBeInstanceOf(PersistenceError);
    const [state] = await session.messages.lookUp([requestId]);
    expect(state).toMatchObject({ state: "pending", attempts: small.status === "fulfilled" ? 1 : 0 });
    const again = begin(session);
    await again.query("PRAGMA max_page_count = 1000000");
    await again.rollback();
    expect(await session.messages.saveReply(big, fence, null)).toEqual(big);
  });
});

describe("writes that share a commit", () => {
  it("learn nothing of each other where the commit fails: what refused the second is not there", async () => {
    const session = await open();
    await session.messages.claimShards(["default:1"]);
    const requestId = await pending(session);
    const database = new DatabaseSync(path);
    database.exec(`CREATE TABLE owners (key TEXT PRIMARY KEY);
      CREATE TABLE things (owner TEXT REFERENCES owners (key) DEFERRABLE INITIALLY DEFERRED);
      CREATE TRIGGER failing AFTER UPDATE ON holdfast_requests BEGIN INSERT INTO things VALUES ('nobody'); END`);
    const save = (value: string) =>
      session.messages.saveReply({ requestId, exit: { ok: true, value } }, fence, null);
    const saved = await Promise.allSettled([save("1"), save("2"), save("3")]);
    const failed = { status: "rejected", reason: { code: "PERSISTENCE", outcome: "unknown" } };
    expect(saved).toMatchObject([failed, failed, failed]);
    expect(await session.messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
    database.exec("DROP TRIGGER failing");
    database.close();
    expect(await Promise.all([save("4"), save("5")])).toMatchObject([
      { exit: { value: "4" } },
      { exit: { value: "4" } },
    ]);
  });

  it("learn nothing of each other where one of them takes all along, as a full disk does", async () => {
    const session = await open();
    await session.messages.claimShards(["default:1"]);
    const requestId = await pending(session);
    const other = await pending(session, "r2");
    const transaction = begin(session);
    await transaction.query("PRAGMA max_page_count = 1");
    await transaction.rollback();
    const save = (id: string, value: string) =>
      session.messages.saveReply({ requestId: id, exit: { ok: true, value } }, fence, null);
    const saved = await Promise.allSettled([
      save(requestId, "1"),
      save(requestId, "2"),
      save(other, `"${"x".repeat(100_000)}"`),
    ]);
    const reason = { code: "PERSISTENCE", outcome: "not-written", detail: "database or disk is full" };
    const failed = { status: "rejected", reason };
    expect(saved).toMatchObject([failed, failed, failed]);
    expect(await session.messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
  });
});

describe("a file", () => {
  it("is waited for while another program writes to it, and not for longer than busyTimeout", async () => {
    const session = await open({ busyTimeout: 30 });
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(pending(session)).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    expect(await session.messages.lookUp(["r1"])).toEqual([]);
    other.exec("COMMIT");
    await pending(session);
    other.close();
  });

  it("is waited for while a handler of this process writes to it, and not for longer than busyTimeout", async () => {
    const session = await open({ busyTimeout: 30 });
    await pending(session);
    const transaction = begin(session);
    await transaction.query("CREATE TABLE mine (key TEXT)");
    const refused = { code: "PERSISTENCE", outcome: "not-written" };
    await expect(pending(session, "r2")).rejects.toMatchObject(refused);
    const second = begin(session);
    await expect(second.query("SELECT 1")).rejects.toMatchObject(refused);
    await second.rollback();
    // Those who gave up are in nobody's way, and who comes later waits for the handler all the same: also more than a group.
    const crowd = Array.from({ length: 250 }, (_, index) => pending(session, `c${index}`));
    await Promise.all(crowd.map((saving) => expect(saving).rejects.toMatchObject(refused)));
    await transaction.rollback();
    await Promise.all([pending(session, "r4"), pending(session, "r5")]);
    expect(await session.messages.lookUp(["r1", "r2", "r4", "r5"])).toHaveLength(3);
  });

  it("is written to at once where nobody is to be waited for: busyTimeout 0", async () => {
    const session = await open({ busyTimeout: 0 });
    for (let round = 0; round < 20; round += 1)
      await Promise.all([pending(session, `a${round}`), pending(session, `b${round}`)]);
  });

  it("is kept with a WAL, and a commit waits for the disk itself", async () => {
    const session = await open();
    const transaction = begin(session);
    expect(await transaction.query("PRAGMA journal_mode")).toEqual([{ journal_mode: "wal" }]);
    expect(await transaction.query("PRAGMA synchronous")).toEqual([{ synchronous: 2 }]);
    expect(await transaction.query("PRAGMA fullfsync")).toEqual([{ fullfsync: 1 }]);
    await transaction.rollback();
  });

  it("is refused where SQLite has no WAL for it", () => {
    // A way to the disk that cannot share memory, as that of a network file system.
    const connection = new SqliteConnection(`file:${path}?vfs=unix-dotfile`);
    expect(() => makeDurable(connection, path)).toThrow(ConfigError);
    connection.close();
  });

  it("whose folder cannot be made is refused", async () => {
    await open();
    await expect(open({ path: join(path, "inside", "a.db") })).rejects.toMatchObject({
      code: "PERSISTENCE",
      outcome: "not-written",
    });
  });

  it("of a later release is refused", async () => {
    await open();
    const database = new DatabaseSync(path);
    database.exec("INSERT INTO holdfast_migrations VALUES (99)");
    database.close();
    await expect(open()).rejects.toBeInstanceOf(ConfigError);
  });

  it("that is no database is refused, and is what it was", async () => {
    await expect(open({ path: folder })).rejects.toBeInstanceOf(PersistenceError);
  });

  it("keeps no id that would come back as another", async () => {
    const session = await open();
    for (const requestId of ["a\0b", "\ud800"])
      await expect(pending(session, requestId)).rejects.toBeInstanceOf(SerializationError);
  });
});

describe("the options", () => {
  it.each([
    { path: "" },
    { path: ":memory:" },
    { path: "a.db", transactionTimeout: 0 },
    { path: "a.db", busyTimeout: "soon" },
    { path: "a.db", other: 1 },
  ])("are refused: %j", (options) => {
    expect(() => sqlite(options as SqliteOptions)).toThrow(ConfigError);
  });

  it("are read from a URL", async () => {
    const session = await storageFromUrl(`sqlite:${path}?busyTimeout=1s`).open(adapterServices());
    sessions.push(session);
    await pending(session);
    expect(() => storageFromUrl("sqlite:a.db?path=b.db&other=1")).toThrow(ConfigError);
  });
});
