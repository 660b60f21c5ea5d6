// A server that tells its errors in German (lc_messages): `pg` tells the severity as the server does.

import { createCluster, createMemoryBackend, defineEntity, rpc } from "@holdfast/core";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startOwnPostgres } from "../../../test/services/postgres.ts";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { begin, claim, request, succeeded } from "./work.ts";

const server = await startGerman();
afterAll(() => server?.stop());

const Names = defineEntity({
  name: "Names",
  rpcs: { claim: rpc<{ name: string }, string>({ persisted: true }) },
});

describe.skipIf(server === null).each(["pg", "postgres.js"] as const)(
  "a server that speaks German, through %s",
  (driver) => {
    const connectionString = server?.url ?? "";
    const schema = newSchema();
    beforeAll(async () => {
      const client = new pg.Client({ connectionString });
      await client.connect();
      await client.query(`CREATE TABLE ${schema}_names (name text PRIMARY KEY)`);
      await client.query(`CREATE TABLE ${schema}_rooms (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)`);
      await client.end();
    });

    it("refuses a statement to a handler, which goes on from its savepoint at its first attempt", async () => {
      let attempts = 0;
      const names = Names.implement({
        async claim({ name }, ctx) {
          attempts += 1;
          const tx = postgresTx(ctx);
          await tx.query("SAVEPOINT claiming");
          try {
            await tx.query(`INSERT INTO ${schema}_names VALUES ($1)`, [name]);
            return "yours";
          } catch (error) {
            if ((error as { code?: string }).code !== "23505") throw error;
            await tx.query("ROLLBACK TO SAVEPOINT claiming");
            return "taken";
          }
        },
      });
      const cluster = await createCluster({
        storage: postgres({ driver, connectionString, schema }),
        transport: createMemoryBackend().transport(),
        shardRebalanceDebounce: 0,
        shardsPerGroup: 4,
        register: [names],
      });
      await cluster.start();
      onTestFinished(() => cluster.shutdown());
      const call = (id: string) => cluster.entity(Names, id).claim({ name: "lovelace" }, { timeout: "10s" });
      expect([await call("ada"), await call("kim"), attempts]).toEqual(["yours", "taken", 2]);
    });

    it("refuses a COMMIT, of which nothing is to be read back, and keeps its session", async () => {
      const session = await postgres({ driver, connectionString, schema, poolSize: 2 }).open(services());
      onTestFinished(() => session.close());
      const { messages } = session;
      const fence = await claim(messages);
      const envelope = request();
      await messages.saveRequest(envelope, 1, fence);
      const pids: unknown[] = [];
      for (let turn = 0; turn < 2; turn += 1) {
        const transaction = begin(messages);
        const insert = `INSERT INTO ${schema}_rooms VALUES (1), (1) RETURNING pg_backend_pid()`;
        pids.push((await transaction.query(insert, [])).rows[0]);
        const saving = messages.saveReply(succeeded(envelope.requestId), fence, transaction);
        await expect(saving).rejects.toMatchObject({
          code: "TRANSACTION_UNAVAILABLE",
          cause: { code: "23505" },
        });
      }
      expect(pids[1]).toEqual(pids[0]);
    });
  },
);

/** Null, with a word on it: none could be had. */
async function startGerman() {
  const before = process.env["LANGUAGE"];
  // With it the translation is found without the locale, which may not be installed.
  process.env["LANGUAGE"] = "de";
  try {
    const started = await startOwnPostgres();
    const client = new pg.Client({ connectionString: started.url });
    await client.connect();
    try {
      await client.query("ALTER DATABASE postgres SET lc_messages = 'C.UTF-8'");
      await client.query("SET lc_messages = 'C.UTF-8'");
      const refusal: unknown = await client.query("SELECT 1 / 0").catch((error: unknown) => error);
      if ((refusal as { severity?: string }).severity === "FEHLER") return started;
      throw new Error("its messages are not translated");
    } catch (error) {
      await started.stop();
      throw error;
    } finally {
      await client.end();
    }
  } catch (error) {
    console.warn(`\nTests on a PostgreSQL that speaks German do not run.\n${String(error)}\n`);
    return null;
  } finally {
    if (before === undefined) delete process.env["LANGUAGE"];
    else process.env["LANGUAGE"] = before;
  }
}
