// Sessions that live and are of no more use: on a server that takes no writes any more, as one that a failover made a standby, and
// without what was prepared on them.

import { createCluster, createMemoryBackend, defineEntity, rpc, type Cluster } from "@holdfast/core";
import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { postgres, postgresTx, type PostgresOptions } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { begin, claim, request, succeeded } from "./work.ts";

const url = inject("postgresUrl");
const DRIVERS = ["pg", "postgres.js"] as const;
const POOL_SIZE = 4;

const Account = defineEntity({
  name: "Account",
  rpcs: {
    pay: rpc<void, string>({ persisted: true }),
    /** Runs each text in the handler's transaction. */
    run: rpc<{ texts: string[] }, string>({ persisted: true }),
  },
});
/** How often each request was handled, by its entity. */
const handled = new Map<string, number>();
const account = Account.implement({
  async pay(_input, ctx) {
    handled.set(ctx.entityId, (handled.get(ctx.entityId) ?? 0) + 1);
    return "paid";
  },
  async run({ texts }, ctx) {
    for (const text of texts) await postgresTx(ctx).query(text);
    return "ran";
  },
});

async function startCluster(options: PostgresOptions): Promise<Cluster> {
  const quiet = (): void => undefined;
  const cluster = await createCluster({
    storage: postgres({ poolSize: POOL_SIZE, ...options }),
    transport: createMemoryBackend().transport(),
    shardRebalanceDebounce: 0,
    shardsPerGroup: 4,
    register: [account],
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  await cluster.start();
  return cluster;
}

describe.skipIf(url === null).each(DRIVERS)(
  "sessions from when a server took no writes, through %s",
  (driver) => {
    const database = newSchema();
    const connectionString = Object.assign(new URL(url ?? "postgres://"), { pathname: `/${database}` }).href;
    let admin: pg.Client;
    beforeAll(async () => {
      admin = new pg.Client({ connectionString: url ?? "" });
      await admin.connect();
      await admin.query(`CREATE DATABASE ${database}`);
    });
    afterAll(async () => {
      await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
      await admin.end();
    });

    /** Ends every session. Those that are made from now on take no writes, for as long as they live. */
    async function refuseWrites(): Promise<void> {
      await admin.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
      await admin.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${database}'`,
      );
    }

    /** Sessions that are made from now on take writes. */
    async function takeWrites(): Promise<void> {
      await admin.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
    }

    it("are given up by a storage once a write was refused on one of them", async () => {
      const storage = postgres({ driver, connectionString, schema: newSchema(), poolSize: POOL_SIZE });
      const session: OpenStorage = await storage.open(services());
      onTestFinished(() => session.close());
      const { messages } = session;
      const fence = await claim(messages);
      const save = () => messages.saveRequest(request(), 1, fence);
      await refuseWrites();
      // The first ones may meet sessions that have ended.
      await expect
        .poll(refusalOf(save), { timeout: 10_000 })
        .toMatchObject({ outcome: "not-written", cause: { sqlState: "25006" } });
      // Reads go through, and leave their sessions to whoever comes next.
      await Promise.all(Array.from({ length: 2 * POOL_SIZE }, () => messages.lookUp([request().requestId])));
      await takeWrites();
      await save().catch((error: unknown) => expect(error).toBeInstanceOf(PersistenceError));
      for (let writes = 0; writes < 2 * POOL_SIZE; writes += 1) await save();
      await Promise.all(Array.from({ length: 2 * POOL_SIZE }, save));
    });

    it("keep no runner from handling requests, each once", async () => {
      const cluster = await startCluster({ driver, connectionString, schema: newSchema() });
      onTestFinished(() => cluster.shutdown());
      const ids = Array.from({ length: 10 }, (_, n) => `${driver} ${n}`);
      const pay = (timeout: string) =>
        Promise.allSettled(
          ids.map((id) => cluster.entity(Account, id).pay(undefined, { idempotencyKey: "once", timeout })),
        );
      await refuseWrites();
      for (const { status } of await pay("1s")) expect(status).toBe("rejected");
      await takeWrites();
      expect(await pay("10s")).toEqual(ids.map(() => ({ status: "fulfilled", value: "paid" })));
      expect(ids.map((id) => handled.get(id))).toEqual(ids.map(() => 1));
    });
  },
);

describe.skipIf(url === null).each(DRIVERS)(
  "a handler that lets go of what is prepared, through %s",
  (driver) => {
    const schema = newSchema();
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await startCluster({ driver, connectionString: url ?? "", schema });
    });
    afterAll(async () => {
      await cluster.shutdown();
      const admin = new pg.Client({ connectionString: url ?? "" });
      await admin.connect();
      await admin.query(`DROP SCHEMA ${schema} CASCADE`);
      await admin.end();
    });

    it("is answered, and leaves to others only sessions that are as good as before (DEALLOCATE ALL)", async () => {
      const answers = [];
      for (let round = 0; round < POOL_SIZE; round += 1) {
        const forgetful = cluster.entity(Account, `forgetful ${round}`);
        const calls = [
          forgetful.run({ texts: ["DEALLOCATE ALL"] }, { timeout: "10s" }),
          ...Array.from({ length: POOL_SIZE }, (_, n) =>
            cluster.entity(Account, `${schema} ${round} ${n}`).pay(undefined, { timeout: "10s" }),
          ),
        ];
        answers.push(...(await Promise.all(calls)));
      }
      expect(new Set(answers)).toEqual(new Set(["ran", "paid"]));
      const times = [...handled].flatMap(([id, count]) => (id.startsWith(schema) ? [count] : []));
      expect(times).toEqual(Array.from({ length: POOL_SIZE * POOL_SIZE }, () => 1));
    });

    it("fails a prepared statement of one more handler at most, which is to be attempted again", async () => {
      const storage = postgres({ driver, connectionString: url ?? "", schema, poolSize: 2 });
      const session = await storage.open(services());
      onTestFinished(() => session.close());
      const { messages } = session;
      const fence = await claim(messages, "default:9");
      const forgetful = begin(messages);
      await forgetful.query("SELECT $1::int", [1]);
      await forgetful.query("DEALLOCATE ALL", []);
      await forgetful.rollback();
      for (let booked = 0; booked < POOL_SIZE; booked += 1) {
        const envelope = request({ address: { entityType: "Counter", entityId: "a", shardId: "default:9" } });
        await messages.saveRequest(envelope, 1, fence);
        const book = async (): Promise<void> => {
          const transaction = begin(messages);
          try {
            await transaction.query("SELECT $1::int", [1]);
            await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
          } catch (error) {
            await transaction.rollback();
            throw error;
          }
        };
        if (booked === 0) await expect(book()).rejects.toMatchObject({ code: "26000", retryable: true });
        await book();
      }
    });

    it("cannot let go of the rest of its session (DISCARD ALL)", async () => {
      const discarding = cluster
        .entity(Account, "discards")
        .run({ texts: ["DISCARD ALL"] }, { timeout: "10s" });
      await expect(discarding).rejects.toThrow(/cannot run inside a transaction block/);
      expect(await cluster.entity(Account, "pays").pay(undefined, { timeout: "10s" })).toBe("paid");
    });
  },
);

/** What a call is refused with, or null. */
function refusalOf(call: () => Promise<unknown>): () => Promise<unknown> {
  return () =>
    call().then(
      () => null,
      (error: unknown) => error,
    );
}
