// All that a workflow can do, alike on memory, PGlite and PostgreSQL, on three runners while shards move.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { memoryStorage, WorkflowCancelledError, WorkflowFailedError } from "@holdfast/core";
import type { StorageAdapter } from "@holdfast/core/adapter";
import { pglite, postgres, postgresTx } from "@holdfast/storage-postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../services/fresh-pglite.ts";
import { effectsOf, Order, registrations, Ship, type Effect } from "./definitions.ts";
import { Fleet } from "./fleet.ts";

interface Ground {
  readonly storage: StorageAdapter;
  readonly effect: Effect;
  effects(): Promise<readonly string[]>;
  close(): Promise<void>;
}

function inMemory(): Ground {
  const effects: string[] = [];
  return {
    storage: memoryStorage(),
    effect: async (_ctx, label) => void effects.push(label),
    effects: async () => effects,
    close: async () => undefined,
  };
}

async function inSql(
  storage: StorageAdapter,
  query: (text: string) => Promise<{ rows: unknown[] }>,
  end: () => Promise<void>,
): Promise<Ground> {
  const table = `effects_${randomUUID().replaceAll("-", "")}`;
  await query(`create table ${table} (label text not null)`);
  return {
    storage,
    effect: async (ctx, label) => {
      await postgresTx(ctx).query(`insert into ${table} values ($1)`, [label]);
    },
    effects: async () =>
      ((await query(`select label from ${table}`)).rows as { label: string }[]).map(({ label }) => label),
    close: async () => {
      await query(`drop table ${table}`);
      await end();
    },
  };
}

async function embedded(): Promise<Ground> {
  const instance = await freshPGlite();
  return inSql(
    pglite({ instance }),
    (text) => instance.query(text),
    () => instance.close(),
  );
}

async function onServer(url: string, driver: "pg" | "postgres.js"): Promise<Ground> {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const schema = `w_${randomUUID().replaceAll("-", "")}`;
  const storage = postgres({ connectionString: url, schema, driver, poolSize: 6 });
  return inSql(
    storage,
    (text) => pool.query(text),
    async () => {
      await pool.query(`drop schema if exists ${schema} cascade`);
      await pool.end();
    },
  );
}

/** Asks until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await setTimeout(20);
}

const url = inject("postgresUrl");
const GROUNDS: readonly (readonly [name: string, make: () => Promise<Ground>])[] = [
  ["memory", async () => inMemory()],
  ["PGlite", embedded],
  ...(url === null
    ? []
    : ([
        ["PostgreSQL by pg", () => onServer(url, "pg")],
        ["PostgreSQL by postgres.js", () => onServer(url, "postgres.js")],
      ] as const)),
];

describe.each(GROUNDS)("workflows on %s", (_name, make) => {
  let ground: Ground;
  let fleet: Fleet;
  beforeAll(async () => {
    ground = await make();
    fleet = await Fleet.start(ground.storage, registrations(ground.effect));
  });
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
    await ground.close();
  });

  const effects = async (id: string): Promise<readonly string[]> =>
    (await ground.effects()).filter((label) => label.startsWith(`${id} `)).toSorted();

  /** Whether the child sleeps. */
  const isAsleep = async (id: string): Promise<boolean> => {
    const child = await fleet.client
      .workflow(Ship)
      .get(id)
      .describe()
      .catch(() => null);
    return child?.steps.length === 1;
  };

  it("do all that they can while shards move, each effect once (INV-2, INV-3, INV-7, INV-8)", async () => {
    fleet.keepMoving();
    const orders = fleet.client.workflow(Order);
    const kinds = ["ship", "fail", "wait"] as const;
    const all = Array.from({ length: 24 }, (_, n) => ({
      id: `order-${n}`,
      does: kinds[n % kinds.length] ?? "ship",
      rounds: n % 4,
    }));
    const ends = await Promise.all(
      all.map(async (order) => {
        const handle = await orders.start(order);
        await handle.signal("approved", { by: "ann" }, { idempotencyKey: "1" });
        await handle.signal("approved", { by: "ann again" }, { idempotencyKey: "1" });
        await handle.signal("approved", { by: "bob" }, { idempotencyKey: "2" });
        if (order.does === "wait") {
          // Cancelled while it waits for its child, wherever that is.
          await until(
            async () =>
              (await isAsleep(`ship-${order.id}`)) && (await handle.query("progress")) === "approved",
          );
          await handle.cancel("not wanted");
        }
        return handle.result().catch((error: unknown) => error);
      }),
    );
    for (const [index, { id, does, rounds }] of all.entries()) {
      const end = ends[index];
      if (does === "ship") expect(end).toEqual({ label: `label of ${id}`, by: ["ann", "bob"], rounds: 0 });
      else if (does === "fail") {
        expect(end).toBeInstanceOf(WorkflowFailedError);
        expect(end).toMatchObject({ failedCompensations: [], cause: { message: `${id} is out of stock` } });
      } else expect(end).toBeInstanceOf(WorkflowCancelledError);
      expect(await effects(id)).toEqual(effectsOf(id, does, rounds));
    }
    await fleet.settle();
    expect(fleet.replaced).toBeGreaterThan(0);

    const listed = async (filter: Parameters<typeof orders.list>[0]): Promise<string[]> => {
      const ids: string[] = [];
      for await (const { executionId } of orders.list(filter)) ids.push(executionId);
      return ids.toSorted();
    };
    const those = (does: string): string[] =>
      all
        .filter((order) => order.does === does)
        .map(({ id }) => id)
        .toSorted();
    expect(await listed({ status: "completed" })).toEqual(those("ship"));
    expect(await listed({ status: "failed" })).toEqual(those("fail"));
    expect(await listed({ status: "cancelled" })).toEqual(those("wait"));
    expect(await listed({ attributes: { does: "fail", checked: true } })).toEqual(those("fail"));
    expect(await listed({ attributes: { checked: false } })).toEqual([]);
    expect(await listed({ status: "running" })).toEqual([]);
    expect(await listed({ startedBefore: new Date(0) })).toEqual([]);
    const shipped = orders.get("order-0");
    await expect(shipped.query("progress")).resolves.toBe("shipped");
    expect(await shipped.describe()).toMatchObject({
      status: "completed",
      attributes: { does: "ship", checked: true },
      continuations: 0,
      result: { label: "label of order-0" },
    });
    expect((await orders.get("order-3").describe()).continuations).toBe(3);
  });

  it("are forked, and their journals exported", async () => {
    const orders = fleet.client.workflow(Order);
    const origin = orders.get("order-0");
    const { steps } = await origin.describe();
    const fork = await origin.fork({ fromStep: steps.findIndex(({ kind }) => kind === "child") });
    await expect(fork.result()).resolves.toEqual(await origin.result());
    expect(await effects("order-0"), "nothing was done again").toEqual(effectsOf("order-0", "ship", 0));
    const { entries, end } = await fork.exportJournal();
    expect(entries.length).toBeGreaterThan(5);
    expect(end?.ok).toBe(true);
  });
});
