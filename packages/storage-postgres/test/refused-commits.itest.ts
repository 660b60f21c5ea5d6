// What a handler or an activity wrote through `postgresTx`, and the server refuses as late as at COMMIT.

import type { PGlite } from "@electric-sql/pglite";
import {
  activity,
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineWorkflow,
  rpc,
  TransactionUnavailableError,
  WorkflowFailedError,
  type Cluster,
} from "@holdfast/core";
import type { StorageAdapter } from "@holdfast/core/adapter";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { pglite, postgres, postgresTx } from "../src/index.ts";
import { newSchema, type Sql } from "./backends.ts";

const url = inject("postgresUrl");

/** What COMMIT is refused for, as the tables of a test have it. */
type Fault = "parent" | "rule" | "value" | "conflict";

const REFUSALS = [
  ["parent", "23503", "violates foreign key constraint"],
  ["rule", "P0001", "no booking on a Sunday"],
  ["value", "22012", "division by zero"],
] as const;

const Booking = defineEntity({
  name: "Booking",
  rpcs: { book: rpc<{ fault: Fault }, number>({ persisted: true }) },
});

const Order = defineWorkflow<{ id: string; fault: Fault }, number>({
  name: "Order",
  key: ({ id }) => id,
});

function refusedCommits(storage: (schema: string) => StorageAdapter, sql: () => Sql): void {
  const schema = newSchema();
  const bookings = `${schema}_bookings`;
  /** Attempts of each handler and activity, by its name. */
  const bodies = new Map<string, number>();
  /** What the workflow's code caught, and what was undone. */
  const caught = new Map<string, unknown>();
  const undone: string[] = [];
  let cluster: Cluster;

  async function book(ctx: Parameters<typeof postgresTx>[0], name: string, fault: Fault): Promise<void> {
    bodies.set(name, (bodies.get(name) ?? 0) + 1);
    await postgresTx(ctx).query(`INSERT INTO ${bookings} VALUES ($1, $2, $3)`, [
      name,
      fault === "parent" ? 999 : 1,
      fault,
    ]);
  }

  async function booked(name: string): Promise<number> {
    return (await sql()(`SELECT 1 FROM ${bookings} WHERE name = $1`, [name])).length;
  }

  const booking = Booking.implement({
    async book({ fault }, ctx) {
      await book(ctx, ctx.entityId, fault);
      return ctx.attempt;
    },
  });
  const order = Order.implement({
    activities: {
      book: activity({ retries: 1, initialInterval: "10ms" }, async (ctx, name: string, fault: Fault) => {
        await book(ctx, name, fault);
        return ctx.attempt;
      }),
      undo: activity(async (_ctx, name: string) => void undone.push(name)),
    },
    async execute(ctx, { id, fault }) {
      ctx.onCompensate("undo", () => ctx.activities.undo(id));
      try {
        return await ctx.activities.book(id, fault);
      } catch (error) {
        caught.set(id, error);
        throw error;
      }
    },
  });

  beforeAll(async () => {
    const script = [
      `CREATE TABLE ${schema}_rooms (id int PRIMARY KEY)`,
      `INSERT INTO ${schema}_rooms VALUES (1)`,
      `CREATE TABLE ${bookings} (name text, room int REFERENCES ${schema}_rooms DEFERRABLE INITIALLY DEFERRED, fault text)`,
      // A sequence goes on whatever is rolled back: the second attempt is refused no more.
      `CREATE SEQUENCE ${schema}_conflicts`,
      `CREATE FUNCTION ${schema}_check() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.fault = 'rule' THEN RAISE EXCEPTION 'no booking on a Sunday'; END IF;
          IF NEW.fault = 'value' THEN PERFORM 1 / (NEW.room - 1); END IF;
          IF NEW.fault = 'conflict' AND nextval('${schema}_conflicts') % 2 = 1 THEN
            RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
          END IF;
          RETURN NULL;
        END $$`,
      `CREATE CONSTRAINT TRIGGER checked AFTER INSERT ON ${bookings} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION ${schema}_check()`,
    ];
    for (const statement of script) await sql()(statement);
    cluster = await createCluster({
      storage: storage(schema),
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 10,
      register: [booking, order],
    });
    await cluster.start();
  });
  afterAll(async () => {
    await cluster.shutdown();
    await sql()(`DROP TABLE ${bookings}, ${schema}_rooms`);
    await sql()(`DROP FUNCTION ${schema}_check`);
    await sql()(`DROP SEQUENCE ${schema}_conflicts`);
    await sql()(`DROP SCHEMA ${schema} CASCADE`);
  });

  it.each(REFUSALS)(
    "fails an activity, which its workflow catches and undoes (%s, %s)",
    async (fault, code, message) => {
      const id = `order ${fault}`;
      const handle = await cluster.workflow(Order).start({ id, fault });
      const failure: unknown = await handle.result().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(WorkflowFailedError);
      // What callers are told is what the code caught, with the driver's error as its cause.
      for (const error of [caught.get(id), (failure as Error).cause]) {
        expect(error).toBeInstanceOf(TransactionUnavailableError);
        expect(error).toMatchObject({
          message: expect.stringContaining(message),
          cause: { code, message: expect.stringContaining(message) },
        });
      }
      expect(bodies.get(id)).toBe(2);
      expect(undone).toContain(id);
      expect(await booked(id)).toBe(0);
      expect(await handle.describe()).toMatchObject({
        status: "failed",
        steps: [{ status: "failed", attempts: 2 }, {}, {}],
      });
    },
  );

  it("is a failed attempt of an activity where it met another transaction (40001)", async () => {
    const id = "order conflict";
    expect(await cluster.workflow(Order).execute({ id, fault: "conflict" })).toBe(2);
    expect([bodies.get(id), await booked(id), undone.includes(id)]).toEqual([2, 1, false]);
  });

  it.each(REFUSALS)("is the reply of a handler, which runs once (%s, %s)", async (fault, code, message) => {
    const name = `booking ${fault}`;
    const call = () => cluster.entity(Booking, name).book({ fault }, { idempotencyKey: "once" });
    for (let calls = 0; calls < 2; calls += 1) {
      const error: unknown = await call().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TransactionUnavailableError);
      expect(error).toMatchObject({
        message: expect.stringContaining(message),
        cause: { code, message: expect.stringContaining(message) },
      });
    }
    expect(bodies.get(name)).toBe(1);
    expect(await booked(name)).toBe(0);
  });

  it("has a handler attempted again where it met another transaction (40001)", async () => {
    const name = "booking conflict";
    expect(await cluster.entity(Booking, name).book({ fault: "conflict" })).toBe(2);
    expect([bodies.get(name), await booked(name)]).toEqual([2, 1]);
  });
}

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)(
  "a COMMIT that a PostgreSQL server refuses, through %s",
  (driver) => {
    let pool: pg.Pool;
    beforeAll(() => {
      pool = new pg.Pool({ connectionString: url ?? "", max: 2 });
    });
    afterAll(() => pool.end());
    refusedCommits(
      (schema) => postgres({ driver, connectionString: url ?? "", schema }),
      () =>
        async (text, params = []) =>
          (await pool.query(text, params)).rows as never,
    );
  },
);

describe("a COMMIT that PGlite refuses", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await freshPGlite();
  });
  afterAll(() => instance.close());
  refusedCommits(
    (schema) => pglite({ instance, schema }),
    () =>
      async (text, params = []) =>
        (await instance.query(text, params)).rows as never,
  );
});
