import {
  createCluster,
  createMemoryBackend,
  defineEntity,
  rpc,
  TransactionUnavailableError,
} from "@holdfast/core";
import type { StorageAdapter } from "@holdfast/core/adapter";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { pglite, postgres, postgresTx } from "../src/index.ts";
import { newSchema, type Sql } from "./backends.ts";

const url = inject("postgresUrl");

const Account = defineEntity({
  name: "Account",
  rpcs: {
    deposit: rpc<{ amount: number; ends: "reply" | "throw" | "swallow" }, number>({ persisted: true }),
    open: rpc<{ credit: number }, number>({ persisted: true }),
    peek: rpc<undefined, string>(),
  },
});

/** One persisted handler that writes through its transaction, whatever driver is below. */
function transactions(storage: () => StorageAdapter, sql: () => Sql, table: string): void {
  const account = Account.implement({
    async deposit({ amount, ends }, ctx) {
      const tx = postgresTx(ctx);
      const { rows, rowCount } = await tx.query<{ balance: number }>(
        `INSERT INTO ${table} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET balance = ${table}.balance + $2 RETURNING balance`,
        [ctx.entityId, amount],
      );
      expect(rowCount).toBe(1);
      if (ends === "swallow") await tx.query("SELECT 1 / 0").catch(() => undefined);
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
    transactions(
      () => postgres({ driver, connectionString: url ?? "", schema }),
      () =>
        async (text, params = []) =>
          (await pool.query(text, params)).rows as never,
      `${schema}_accounts`,
    );
  },
);

describe("postgresTx on PGlite", () => {
  const schema = newSchema();
  let instance: PGlite;
  beforeAll(async () => {
    instance = await PGlite.create();
  });
  afterAll(() => instance.close());
  transactions(
    () => pglite({ instance, schema }),
    () =>
      async (text, params = []) =>
        (await instance.query(text, params)).rows as never,
    `${schema}_accounts`,
  );
});
