import {
  ConfigError,
  createCluster,
  createMemoryBackend,
  defineEntity,
  rpc,
  TransactionUnavailableError,
  type HandlerContext,
} from "@holdfast/core";
import type { StorageAdapter } from "@holdfast/core/adapter";
import type { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { pglite, postgres, postgresTx } from "../src/index.ts";
import { newSchema, type Sql } from "./backends.ts";

const url = inject("postgresUrl");

const Account = defineEntity({
  name: "Account",
  rpcs: {
    deposit: rpc<
      {
        amount: number;
        ends: "reply" | "throw" | "swallow" | "commit" | "value" | "params" | "text" | "role" | "read";
      },
      number
    >({
      persisted: true,
    }),
    open: rpc<{ credit: number }, number>({ persisted: true }),
    peek: rpc<undefined, string>(),
  },
});

const Race = defineEntity({
  name: "Race",
  rpcs: { refuse: rpc<void, void>({ persisted: true }), reply: rpc<void, void>({ persisted: true }) },
});

/** The client of a transaction, which a handler leaves behind at work. */
function clients(storage: () => StorageAdapter, sql: () => Sql, table: string): void {
  it("writes nothing through its client once a handler is over (INV-3)", async () => {
    await sql()(`CREATE TABLE ${table} (id text NOT NULL)`);
    const leftBehind: Promise<unknown>[] = [];
    /** One row after the other, until it is refused. */
    const writeOn = async (ctx: HandlerContext): Promise<void> => {
      const tx = postgresTx(ctx);
      await tx.begin();
      const native = tx.native as Record<
        "query" | "unsafe",
        (text: string, params: unknown[]) => Promise<unknown>
      >;
      const method = "unsafe" in native ? "unsafe" : "query";
      for (let row = 0; row < 500; row += 1)
        await native[method](`INSERT INTO ${table} VALUES ($1)`, [ctx.entityId]);
    };
    const race = Race.implement({
      async refuse(_input, ctx) {
        const writing = writeOn(ctx);
        leftBehind.push(writing.catch((error: unknown) => error));
        await postgresTx(ctx).query("SELECT 1");
        throw new Error("refused");
      },
      async reply(_input, ctx) {
        leftBehind.push(writeOn(ctx).catch((error: unknown) => error));
        await postgresTx(ctx).query("SELECT 1");
      },
    });
    const cluster = await createCluster({
      storage: storage(),
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 10,
      register: [race],
    });
    await cluster.start();
    try {
      const ids = Array.from({ length: 10 }, (_, n) => `refused ${n}`);
      const calls = ids.map((id) => cluster.entity(Race, id).refuse());
      for (const { status } of await Promise.allSettled(calls)) expect(status).toBe("rejected");
      await cluster.entity(Race, "replied").reply();
      for (const error of await Promise.all(leftBehind))
        expect(error).toBeInstanceOf(TransactionUnavailableError);
      const rows = await sql()<{ id: string }>(`SELECT DISTINCT id FROM ${table}`);
      // What was under way when the handler replied may be part of its transaction.
      expect(rows.filter(({ id }) => id !== "replied")).toEqual([]);
    } finally {
      await cluster.shutdown();
      await sql()(`DROP TABLE ${table}`);
    }
  });
}

/** One persisted handler that writes through its transaction, whatever driver is below. */
function transactions(storage: () => StorageAdapter, sql: () => Sql, table: string): void {
  let deposited = 0;
  const account = Account.implement({
    async deposit({ amount, ends }, ctx) {
      deposited += 1;
      const tx = postgresTx(ctx);
      const { rows, rowCount } = await tx.query<{ balance: number }>(
        `INSERT INTO ${table} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET balance = ${table}.balance + $2 RETURNING balance`,
        [ctx.entityId, amount],
      );
      expect(rowCount).toBe(1);
      if (ends === "swallow") await tx.query("SELECT 1 / 0").catch(() => undefined);
      if (ends === "commit") await tx.query("COMMIT");
      if (ends === "value") await tx.query("SELECT $1::jsonb", [{ cents: 5n }]);
      if (ends === "params") await tx.query("SELECT $1::int", { cents: 5 } as never);
      if (ends === "text") await tx.query({ text: "SELECT 1" } as never);
      if (ends === "role") await tx.query("/* tenant */ SET LOCAL ROLE pg_monitor");
      if (ends === "read") await tx.query("SET TRANSACTION READ ONLY");
      if (ends === "throw") throw new Error("no deposit after all");
      return rows[0]?.balance ?? 0;
    },
    /** Waits for nothing where there is nothing to credit. */
    async open({ credit }, ctx) {
      if (credit === 0) return ctx.attempt;
      const tx = postgresTx(ctx);
      await tx.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
      await tx.query(`INSERT INTO ${table} VALUES ($1, $2)`, [ctx.entityId, credit]);
      return ctx.attempt;
    },
    async peek(_input, ctx) {
      try {
        postgresTx(ctx);
        return "a transaction";
      } catch (error) {
        if (error instanceof TransactionUnavailableError) return error.code;
        throw error;
      }
    },
  });

  const balance = async (id: string): Promise<number | undefined> =>
    (await sql()<{ balance: number }>(`SELECT balance FROM ${table} WHERE id = $1`, [id]))[0]?.balance;

  it("commits a handler's writes with its reply, once, and rolls both back if it throws (INV-3)", async () => {
    await sql()(`CREATE TABLE ${table} (id text PRIMARY KEY, balance int NOT NULL)`);
    const cluster = await createCluster({
      storage: storage(),
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 10,
      register: [account],
    });
    await cluster.start();
    try {
      const ada = cluster.entity(Account, "ada");
      expect(await ada.deposit({ amount: 5, ends: "reply" }, { idempotencyKey: "first" })).toBe(5);
      expect(await ada.deposit({ amount: 5, ends: "reply" }, { idempotencyKey: "first" })).toBe(5);
      expect(await balance("ada")).toBe(5);
      await expect(ada.deposit({ amount: 7, ends: "throw" })).rejects.toThrow("no deposit after all");
      expect(await balance("ada")).toBe(5);
      // What it committed by itself would be done again by the next attempt.
      await expect(ada.deposit({ amount: 7, ends: "commit" })).rejects.toThrow(ConfigError);
      expect(await balance("ada")).toBe(5);
      // What cannot be sent is the statement's failure, and the handler's reply: no storage is lost, nothing attempted again.
      for (const [ends, message] of [
        ["value", "Do not know how to serialize a BigInt"],
        ["params", 'Option "params" is a value of type object'],
        ["text", 'Option "text" is a value of type object'],
      ] as const) {
        const before = deposited;
        await expect(ada.deposit({ amount: 7, ends }, { timeout: "20s" })).rejects.toThrow(message);
        expect(deposited).toBe(before + 1);
      }
      expect(await balance("ada")).toBe(5);
      // A role without rights on the library's tables is given back before the record.
      const beforeRole = deposited;
      expect(
        await cluster.entity(Account, "tenant").deposit({ amount: 7, ends: "role" }, { timeout: "20s" }),
      ).toBe(7);
      expect(await balance("tenant")).toBe(7);
      // What can have no record is refused, and not attempted again.
      await expect(ada.deposit({ amount: 7, ends: "read" }, { timeout: "20s" })).rejects.toThrow(/READ ONLY/);
      expect(deposited).toBe(beforeRole + 2);
      expect(await balance("ada")).toBe(5);
      // A handler that goes on after a statement failed cannot commit: it is told so, at once and once for all.
      const swallow = () => ada.deposit({ amount: 7, ends: "swallow" }, { idempotencyKey: "swallowed" });
      for (let call = 0; call < 2; call += 1)
        await expect(swallow()).rejects.toThrow(TransactionUnavailableError);
      await expect(swallow()).rejects.toThrow(
        /a statement in the handler's transaction failed .*division by zero/,
      );
      expect(await balance("ada")).toBe(5);
      const deposits = Array.from({ length: 20 }, () => ada.deposit({ amount: 1, ends: "reply" }));
      expect((await Promise.all(deposits)).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 20 }, (_, index) => 6 + index),
      );
      expect(await balance("ada")).toBe(25);
      expect(await ada.peek()).toBe("TRANSACTION_UNAVAILABLE");
      // One whose last call opened no transaction has begun before it was stored, perhaps, and opens one all the same.
      for (let round = 1; round <= 6; round += 1) {
        expect(await cluster.entity(Account, `idle ${round}`).open({ credit: 0 })).toBe(1);
        expect(await cluster.entity(Account, `new ${round}`).open({ credit: round })).toBe(1);
        expect(await balance(`new ${round}`)).toBe(round);
      }
    } finally {
      await cluster.shutdown();
      await sql()(`DROP TABLE ${table}`);
    }
  });
}

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)(
  "postgresTx on a PostgreSQL server, through %s",
  (driver) => {
    const schema = newSchema();
    let pool: pg.Pool;
    beforeAll(() => {
      pool = new pg.Pool({ connectionString: url ?? "", max: 2 });
    });
    afterAll(async () => {
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await pool.end();
    });
    const storage = (): StorageAdapter => postgres({ driver, connectionString: url ?? "", schema });
    const sql =
      (): Sql =>
      async (text, params = []) =>
        (await pool.query(text, params)).rows as never;
    transactions(storage, sql, `${schema}_accounts`);
    clients(storage, sql, `${schema}_races`);
  },
);

describe.skipIf(url === null)("a handler that goes on through `native` although BEGIN was refused", () => {
  const schema = newSchema();
  // The types of pg do not know it yet.
  const options = { connectionString: url ?? "", pipeline: true };
  const pool = new pg.Pool(options);
  afterAll(async () => {
    await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await pool.end();
  });

  it("is attempted again, as after every loss of its transaction", async () => {
    let refused = 0;
    pool.on("connect", (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown;
      client.query = ((config: string | { text: string }, ...others: unknown[]) => {
        const isBegin = typeof config === "object" && config.text.startsWith("BEGIN");
        if (!isBegin || !isHandling || refused > 0) return query(config, ...others);
        refused += 1;
        return query({ ...config, text: "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(9)" });
      }) as typeof client.query;
    });
    let isHandling = false;
    const attempts: unknown[] = [];
    const account = Account.implement({
      async deposit(_input, ctx) {
        isHandling = true;
        const tx = postgresTx<pg.PoolClient>(ctx);
        await tx.begin();
        try {
          // The first leaves with BEGIN, and runs.
          for (let statement = 0; statement < 3; statement += 1) await tx.native.query("SELECT 1");
        } catch (error) {
          attempts.push((error as { code?: string }).code);
          // As a query builder does it.
          throw new Error("the query failed", { cause: error });
        }
        return ctx.attempt;
      },
      open: async () => 0,
      peek: async () => "",
    });
    const cluster = await createCluster({
      storage: postgres({ pool, schema }),
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 10,
      register: [account],
    });
    await cluster.start();
    try {
      expect(await cluster.entity(Account, "ada").deposit({ amount: 1, ends: "reply" })).toBe(2);
      expect([refused, attempts]).toEqual([1, ["PERSISTENCE"]]);
    } finally {
      await cluster.shutdown();
    }
  });
});

describe("postgresTx on PGlite", () => {
  const schema = newSchema();
  let instance: PGlite;
  beforeAll(async () => {
    instance = await freshPGlite();
  });
  afterAll(() => instance.close());
  const storage = (): StorageAdapter => pglite({ instance, schema });
  const sql =
    (): Sql =>
    async (text, params = []) =>
      (await instance.query(text, params)).rows as never;
  transactions(storage, sql, `${schema}_accounts`);
  clients(storage, sql, `${schema}_races`);
});
