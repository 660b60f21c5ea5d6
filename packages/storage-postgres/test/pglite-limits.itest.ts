import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PGlite } from "@electric-sql/pglite";
import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { member } from "../../../test/member.ts";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { pglite, type PGliteNative, type PGliteOptions } from "../src/index.ts";
import type { PostgresTransaction } from "../src/postgres-transaction.ts";
import { newSchema, services } from "./backends.ts";

describe("a transaction on PGlite", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await freshPGlite();
  });
  afterAll(() => instance.close());

  const open = (options: PGliteOptions): Promise<OpenStorage> =>
    pglite({ instance, schema: newSchema(), ...options }).open(services());

  it("gives the driver's own transaction, whose first statement begins it", async () => {
    const storage = await open({});
    for (const isBegun of [true, false]) {
      const transaction = begin(storage);
      if (isBegun) await transaction.begin();
      const native = transaction.native as PGliteNative;
      expect((await native.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
      if (isBegun) expect(transaction.native).toBe(native);
      await transaction.rollback();
    }
    await storage.close();
  });

  it("leaves the session as it was, whatever the driver's own transaction was given", async () => {
    const storage = await open({});
    const transaction = begin(storage);
    const native = transaction.native as PGliteNative;
    await expect(native.query({ text: "SELECT 1" } as never)).rejects.toThrow();
    await transaction.rollback();
    await expect(storage.messages.lookUp(["nobody's"])).resolves.toEqual([]);
    await storage.close();
  });

  it("refuses COPY FROM STDIN, for which PGlite would have the process wait for ever", async () => {
    const storage = await open({});
    const transaction = begin(storage);
    await transaction.query("CREATE TEMPORARY TABLE copied (id int) ON COMMIT DROP", []);
    const copying = transaction.query("COPY copied (id) FROM STDIN", []);
    await expect(copying).rejects.toMatchObject({ code: "0A000" });
    expect((await transaction.query("SELECT count(*) AS count FROM copied", [])).rows).toEqual([
      { count: "0" },
    ]);
    await transaction.rollback();
    await storage.close();
  });

  it("says of what was in another one's way that it may be attempted again, as a server's does", async () => {
    const storage = await open({});
    const transaction = begin(storage);
    const raising = transaction.query(
      "DO $$ BEGIN RAISE EXCEPTION 'later' USING ERRCODE = '40001'; END $$",
      [],
    );
    await expect(raising).rejects.toMatchObject({ code: "40001", retryable: true });
    await transaction.rollback();
    await storage.close();
  });

  it("is not taken for idle while it is used through the driver's own transaction", async () => {
    const storage = await open({ idleTransactionTimeout: 20 });
    const transaction = begin(storage);
    await transaction.begin();
    const native = transaction.native as PGliteNative;
    const startedAt = performance.now();
    while (performance.now() - startedAt < 100) {
      await native.query("SELECT 1");
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await transaction.query("SELECT 1 AS one", [])).rows).toEqual([{ one: 1 }]);
    await transaction.rollback();
    await storage.close();
  });

  it.each(["its own statements", "the driver's own transaction"])(
    "ends at its deadline, however busy it is through %s, and the session goes to the next",
    async (through) => {
      const storage = await open({ transactionDeadline: 50 });
      const transaction = begin(storage);
      await transaction.begin();
      const native = through === "its own statements" ? null : (transaction.native as PGliteNative);
      const busy = (async () => {
        for (;;) {
          await (native === null ? transaction.query("SELECT 1", []) : native.query("SELECT 1"));
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      await Promise.all([
        expect(busy).rejects.toBeInstanceOf(PersistenceError),
        expect(storage.messages.lookUp(["waits"])).resolves.toEqual([]),
      ]);
      await expect(busy).rejects.toBe(transaction.lostWith);
      await expect(transaction.query("SELECT 1", [])).rejects.toThrow(/took longer than 50 ms/);
      await transaction.rollback();
      await storage.close();
    },
  );
});

describe("a lease on PGlite", () => {
  it("is refreshed before all else that waits for the session", async () => {
    const instance = await freshPGlite();
    const storage = await pglite({ instance, schema: newSchema() }).open(services());
    await storage.runners?.register(member("r1"), 60_000);
    const [first, second] = [begin(storage), begin(storage)];
    await first.begin();
    const ended: string[] = [];
    const waiting = [
      storage.messages.readChunks("nobody's", 0).then(() => ended.push("statement")),
      second.begin().then(() => {
        ended.push("transaction");
        return second.rollback();
      }),
      storage.runners?.refresh("r1").then((held) => ended.push(held)),
    ];
    await first.rollback();
    await Promise.all(waiting);
    expect(ended).toEqual(["held", "statement", "transaction"]);
    await storage.close();
    await instance.close();
  });
});

describe("PGlite in a folder", () => {
  it("is given back by the last session, although another's transaction kept the first from ending its watch", async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-pglite-"));
    try {
      const adapter = pglite({ dataDir: join(folder, "data"), statementDeadline: 50 });
      const [first, second] = [await adapter.open(services()), await adapter.open(services())];
      await first.runners?.watch(() => undefined);
      const transaction = begin(second);
      await transaction.query("SELECT 1", []);
      const watching = second.runners?.watch(() => undefined);
      await expect(watching).rejects.toBeInstanceOf(PersistenceError);
      await first.close();
      await transaction.rollback();
      await second.close();
      const other = await pglite({ dataDir: join(folder, "data") }).open(services());
      await other.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

function begin({ messages }: OpenStorage): PostgresTransaction {
  return messages.beginTransaction?.() as PostgresTransaction;
}

describe("statements on PGlite without a pause between them", () => {
  const STATEMENTS = 50;

  it.each([
    [
      "one after the other",
      async ({ messages }: OpenStorage) => {
        for (let each = 0; each < STATEMENTS; each += 1) await messages.readChunks(`nobody's ${each}`, 0);
      },
    ],
    [
      "all at once",
      ({ messages }: OpenStorage) =>
        Promise.all(
          Array.from({ length: STATEMENTS }, (_, each) => messages.readChunks(`nobody's ${each}`, 0)),
        ),
    ],
  ])("let the rest of the process have its turn after each, sent %s", async (_how, send) => {
    const instance = await freshPGlite();
    const storage = await pglite({ instance, schema: newSchema() }).open(services());
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    count();
    await send(storage);
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(STATEMENTS - 1);
    await storage.close();
    await instance.close();
  });
});
