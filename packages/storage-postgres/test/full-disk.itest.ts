// A server without room for what a handler or an activity writes, for a while.

import {
  activity,
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineWorkflow,
  rpc,
  type Cluster,
} from "@holdfast/core";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema } from "./backends.ts";

const url = inject("postgresUrl");
const DRIVERS = ["pg", "postgres.js"] as const;

describe.skipIf(url === null).each(DRIVERS)("a server whose disk is full (53100), through %s", (driver) => {
  const schema = newSchema();
  const payments = `${schema}_payments`;
  const admin = new pg.Pool({ connectionString: url ?? "", max: 1 });
  let cluster: Cluster;

  const insert = `INSERT INTO ${payments} VALUES ($1)`;
  const Account = defineEntity({
    name: "Account",
    rpcs: { pay: rpc<void, string>({ persisted: true }), payOrNot: rpc<void, string>({ persisted: true }) },
  });
  const account = Account.implement({
    async pay(_input, ctx) {
      await postgresTx(ctx).query(insert, [ctx.entityId]);
      return "paid";
    },
    async payOrNot(_input, ctx) {
      await postgresTx(ctx)
        .query(insert, [ctx.entityId])
        .catch(() => undefined);
      return "paid or not";
    },
  });
  const Payment = defineWorkflow<{ id: string }, string>({ name: "Payment", key: ({ id }) => id });
  const payment = Payment.implement({
    activities: {
      pay: activity(async (ctx, id: string) => void (await postgresTx(ctx).query(insert, [id]))),
    },
    async execute(ctx, { id }) {
      await ctx.activities.pay(id);
      return "paid";
    },
  });

  beforeAll(async () => {
    // The first two writes of each payment find no room: a sequence counts on where a transaction is rolled back.
    await admin.query(`
      CREATE TABLE ${payments} (id text NOT NULL);
      CREATE SEQUENCE ${payments}_entity; CREATE SEQUENCE ${payments}_activity; CREATE SEQUENCE ${payments}_swallowing;
      CREATE FUNCTION ${payments}_full() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN
        IF nextval('${payments}_' || NEW.id) <= 2 THEN
          RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NEW;
      END $fn$;
      CREATE TRIGGER full_disk BEFORE INSERT ON ${payments} FOR EACH ROW EXECUTE FUNCTION ${payments}_full();`);
    const quiet = (): void => undefined;
    cluster = await createCluster({
      storage: postgres({ driver, connectionString: url ?? "", schema, poolSize: 4 }),
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 4,
      register: [account, payment],
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    });
    await cluster.start();
  });
  afterAll(async () => {
    await cluster.shutdown();
    await admin.query(
      `DROP TABLE ${payments}; DROP FUNCTION ${payments}_full; DROP SCHEMA ${schema} CASCADE`,
    );
    await admin.query(`DROP SEQUENCE ${payments}_entity, ${payments}_activity, ${payments}_swallowing`);
    await admin.end();
  });

  const paid = async (id: string): Promise<unknown> =>
    (await admin.query(`SELECT id FROM ${payments} WHERE id = $1`, [id])).rows;

  it("has a handler attempted again, and its writes are there once", async () => {
    await expect(cluster.entity(Account, "entity").pay(undefined, { timeout: "20s" })).resolves.toBe("paid");
    expect(await paid("entity")).toEqual([{ id: "entity" }]);
  });

  it("says why its transaction cannot commit where a handler goes on all the same", async () => {
    await expect(
      cluster.entity(Account, "swallowing").payOrNot(undefined, { timeout: "20s" }),
    ).rejects.toThrow("could not extend file");
  });

  it("fails no activity, although it has no retries", async () => {
    await expect(cluster.workflow(Payment).execute({ id: "activity" })).resolves.toBe("paid");
    expect(await paid("activity")).toEqual([{ id: "activity" }]);
  });
});
