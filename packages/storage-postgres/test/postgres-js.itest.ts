import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { TransactionUnavailableError, type Fence, type MessageStorage } from "@holdfast/core/adapter";
import postgresJs, { type Sql, type TransactionSql } from "postgres";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { postgres, type PostgresOptions } from "../src/index.ts";
import { serverBackend, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";
import { begin, claim, request, succeeded } from "./work.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

describe.skipIf(url === null)("postgres.js", () => {
  let backend: ReturnType<typeof serverBackend>;
  let sessions: { close(): Promise<void> }[];
  beforeEach(async () => {
    backend = serverBackend(url ?? "");
    sessions = [];
    await backend.transactions?.has("made");
  });
  afterEach(async () => {
    for (const session of sessions.toReversed()) await session.close();
    await backend.dispose();
  });

  async function open(options: PostgresOptions = {}) {
    const place =
      options.sql === undefined ? { driver: "postgres.js" as const, connectionString: url ?? "" } : {};
    const session = await postgres({ ...place, schema: backend.schema, ...options }).open(services());
    sessions.push(session);
    return session;
  }

  /** A request whose handler has the client of its transaction, which has begun or not. */
  async function handling(messages: MessageStorage, fence: Fence, isBegun: boolean) {
    const envelope = request();
    await messages.saveRequest(envelope, 1, fence);
    const transaction = begin(messages);
    if (isBegun) await transaction.begin();
    return { envelope, transaction, sql: transaction.native as TransactionSql };
  }

  describe("the client of a handler's transaction", () => {
    it.each([true, false])(
      "is a TransactionSql: what is done with it shares the transaction's fate (begun before: %s)",
      async (isBegun) => {
        const { messages } = await open();
        const fence = await claim(messages);
        for (const isKept of [true, false]) {
          const { envelope, transaction, sql } = await handling(messages, fence, isBegun);
          await sql`INSERT INTO ${sql(`${backend.schema}_effects`)} ${sql({ key: `kept ${isKept}` })}`;
          const [row] = await sql<{ list: number[]; at: Date; object: { a: number } }[]>`
          SELECT ${sql.array([1, 2])}::int[] AS list, now() AS at, ${sql.json({ a: 1 })}::jsonb AS object`;
          expect(row).toMatchObject({ list: [1, 2], at: expect.any(Date) as unknown, object: { a: 1 } });
          if (isKept) await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
          else await transaction.rollback();
          expect(await backend.transactions?.has(`kept ${isKept}`)).toBe(isKept);
          // Who kept it cannot reach the session, which is another one's by now.
          expect(() => sql`SELECT 1`).toThrow(TransactionUnavailableError);
          expect(() => sql.unsafe("SELECT 1")).toThrow(TransactionUnavailableError);
          expect(() => transaction.native).toThrow(TransactionUnavailableError);
        }
      },
    );

    it.each([true, false])(
      "sends no query that was made before the transaction ended, and is asked for after it (begun before: %s)",
      async (isBegun) => {
        const { messages } = await open();
        const fence = await claim(messages);
        const table = `${backend.schema}_effects`;
        const folder = await mkdtemp(join(tmpdir(), "holdfast-postgres-js-"));
        try {
          const path = join(folder, "insert.sql");
          await writeFile(path, `INSERT INTO ${table} VALUES ('file')`);
          for (const isKept of [true, false]) {
            const { envelope, transaction, sql } = await handling(messages, fence, isBegun);
            const insert = (key: string) => sql`INSERT INTO ${sql(table)} VALUES (${key}) RETURNING key`;
            const [awaited, executed, each, pages] = ["awaited", "executed", "each", "pages"].map(insert);
            const unsafe = sql.unsafe(`INSERT INTO ${table} VALUES ('unsafe')`);
            const file = sql.file(path);
            if (isKept) {
              await sql.file(path);
              await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
            } else {
              const beingRead = sql.file(path).execute();
              const refused = expect(beingRead).rejects.toBeInstanceOf(TransactionUnavailableError);
              await transaction.rollback();
              await refused;
            }
            const late = [
              awaited,
              executed?.execute(),
              each?.forEach(() => undefined),
              pages?.cursor()[Symbol.asyncIterator]().next(),
              unsafe,
              file,
            ];
            for (const query of late) await expect(query).rejects.toBeInstanceOf(TransactionUnavailableError);
          }
          expect(await backend.sql(`SELECT key FROM ${table}`)).toEqual([{ key: "file" }]);
        } finally {
          await rm(folder, { recursive: true });
        }
      },
    );

    it.each([true, false])(
      "has savepoints, of which one that fails takes nothing else along (begun before: %s)",
      async (isBegun) => {
        const { messages } = await open();
        const fence = await claim(messages);
        const { envelope, transaction, sql } = await handling(messages, fence, isBegun);
        const table = `${backend.schema}_effects`;
        await sql.savepoint((inner) => inner`INSERT INTO ${inner(table)} VALUES ('inner')`);
        const failing = sql.savepoint("risky", async (inner) => {
          await inner`INSERT INTO ${inner(table)} VALUES ('undone')`;
          await inner`SELECT 1 / 0`;
        });
        await expect(failing).rejects.toMatchObject({ code: "22012" });
        await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
        expect(await backend.sql(`SELECT key FROM ${table}`)).toEqual([{ key: "inner" }]);
      },
    );

    it.each([true, false])(
      "may be told to read values otherwise, for as long as the transaction lasts (begun before: %s)",
      async (isBegun) => {
        const { messages } = await open({ poolSize: 2 });
        for (let turn = 0; turn < 4; turn += 1) {
          const transaction = begin(messages);
          if (isBegun) await transaction.begin();
          const sql = transaction.native as TransactionSql & Pick<Sql, "options">;
          const [plain] = await sql.unsafe("SELECT now() AS at");
          expect(plain?.["at"]).toBeInstanceOf(Date);
          // What Drizzle does to the client that it is given.
          (sql.options.parsers as Record<number, unknown>)[1184] = (text: string) => text;
          const [other] = await sql.unsafe("SELECT now() AS at");
          expect(other?.["at"]).toBeTypeOf("string");
          const { rows } = await transaction.query<{ at: unknown }>("SELECT now() AS at", []);
          expect(rows[0]?.at).toBeInstanceOf(Date);
          await transaction.rollback();
        }
      },
    );
  });

  it("writes nothing of a transaction whose session was lost, however many statements follow", async () => {
    const { messages } = await open();
    const transaction = begin(messages);
    const table = `${backend.schema}_effects`;
    const [{ pid }] = (await transaction.query<{ pid: number }>("SELECT pg_backend_pid() AS pid", []))
      .rows as [{ pid: number }];
    const sql = transaction.native as TransactionSql;
    const killed = backend.sql("SELECT pg_terminate_backend($1, 5000)", [pid]);
    const late = Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0
          ? transaction.query(`INSERT INTO ${table} VALUES ($1)`, [`late ${index}`])
          : sql`INSERT INTO ${sql(table)} VALUES (${`late ${index}`})`,
      ),
    );
    await killed;
    await late;
    for (let index = 0; index < 5; index += 1) {
      const again = transaction.query(`INSERT INTO ${table} VALUES ($1)`, [`later ${index}`]);
      await expect(again).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
      await expect(sql`INSERT INTO ${sql(table)} VALUES ('latest')`).rejects.toThrow();
    }
    await transaction.rollback();
    expect(await backend.sql(`SELECT * FROM ${table}`)).toEqual([]);
  });

  it.each(["FROM STDIN", "TO STDOUT"])("refuses COPY %s, which would need a stream", async (direction) => {
    const { messages } = await open();
    const fence = await claim(messages);
    const envelope = request();
    await messages.saveRequest(envelope, 1, fence);
    const transaction = begin(messages);
    const copying = transaction.query(`COPY ${backend.schema}_effects ${direction}`, []);
    await expect(copying).rejects.toMatchObject({ code: "0A000" });
    expect(transaction.lostWith).toBeNull();
    await transaction.rollback();
    const again = begin(messages);
    await again.query("SELECT 1", []);
    await messages.saveReply(succeeded(envelope.requestId), fence, again);
  });

  it("uses the settings of a client of the user's, and leaves it open", async () => {
    const sql = postgresJs(url ?? "", {
      max: 3,
      transform: postgresJs.camel,
      connection: { application_name: "mine" },
    });
    sessions.push({ close: () => sql.end() });
    const session = await open({ sql });
    const { messages } = session;
    const fence = await claim(messages);
    const envelope = request();
    await messages.saveRequest(envelope, 1, fence);
    const transaction = begin(messages);
    const { rows } = await transaction.query("SELECT current_setting('application_name') AS app_name", []);
    expect(rows).toEqual([{ app_name: "mine" }]);
    await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
    expect(await messages.lookUp([envelope.requestId])).toMatchObject([{ state: "answered" }]);
    await session.close();
    expect(await sql`SELECT 1 AS one_more`).toEqual([{ oneMore: 1 }]);
  });

  it("hears, through a connection past the pooler, what is saved by others, also after that was lost", async () => {
    if (bouncer === null) return;
    await using past = await CuttingProxy.start(url ?? "");
    const pooled = { connectionString: bouncer.url, pooler: "transaction" } as const;
    const { messages } = await open({ ...pooled, listenConnectionString: past.url });
    const others = (await open({ ...pooled })).messages;
    expect(messages.supports.wakeUps).toBe(true);
    expect(others.supports.wakeUps).toBe(false);
    await messages.claimShards(["default:1"]);
    let heard = Promise.withResolvers<void>();
    const end = await messages.watchPending?.((shardIds) => {
      if (shardIds.includes("default:1")) heard.resolve();
    });
    await (await open()).messages.saveRequest(request(), 0, null);
    await heard.promise;
    heard = Promise.withResolvers<void>();
    await backend.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN "${backend.schema}_pending"'`,
    );
    await heard.promise;
    heard = Promise.withResolvers<void>();
    await (await open()).messages.saveRequest(request(), 0, null);
    await heard.promise;
    await end?.();
  });

  it("keeps nothing of what a session has answered", async () => {
    const { messages } = await open({ poolSize: 2 });
    const { requestId, ...rest } = request();
    await messages.saveRequest({ ...rest, requestId, payload: JSON.stringify("x".repeat(100_000)) }, 0, null);
    const page = { shardIds: [rest.address.shardId], now: Date.now(), limit: 1 };
    const read = () => messages.readPending({ ...page, excludingSequences: [], excludingEntities: [] });
    for (let times = 0; times < 20; times += 1) await read();
    const before = await memoryUsed();
    for (let times = 0; times < 300; times += 1) await read();
    expect((await memoryUsed()) - before).toBeLessThan(8 * 1_048_576);
  });
});

/** In bytes, with what buffers hold, which goes a turn after them. */
async function memoryUsed(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let times = 0; times < 3; times += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
