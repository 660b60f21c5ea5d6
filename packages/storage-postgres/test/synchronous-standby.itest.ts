// Commits that wait for a synchronous standby. Whoever ends a server process that waits so makes its commit seen before the standby
// has it: what is answered from that is lost when the standby takes over.

import pg from "pg";
import { createCluster, createMemoryBackend, defineEntity, rpc } from "@holdfast/core";
import { afterAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { startBreakableServer, WAYS } from "./breakable-server.ts";
import { begin, claim, request, succeeded } from "./work.ts";

const { server, bouncer, stop } = await startBreakableServer();
const admin = new pg.Pool({ connectionString: server?.url ?? "", max: 1 });
afterAll(async () => {
  await admin.end();
  await stop();
});

/** Commits wait for a standby of this name; none: for nobody. */
async function waitFor(standby: string): Promise<void> {
  await admin.query(`ALTER SYSTEM SET synchronous_standby_names = '${standby}'`);
  await admin.query("SELECT pg_reload_conf()");
  // They do from when the server's checkpointer has heard of it, which nothing but a commit shows.
  await expect.poll(aCommitWaits, { timeout: 20_000 }).toBe(standby !== "");
}

async function aCommitWaits(): Promise<boolean> {
  const client = new pg.Client({ connectionString: server?.url ?? "" });
  client.on("error", () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    let isOver = false;
    const commit = client.query("SELECT pg_logical_emit_message(true, 'probe', '')");
    void commit.catch(() => undefined).finally(() => (isOver = true));
    for (;;) {
      const waiting = await admin.query(
        "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'",
        [rows[0]?.pid],
      );
      if (waiting.rowCount === 1) return true;
      if (isOver) return false;
    }
  } finally {
    // Its process may wait on, which ends by itself.
    client.connection.stream.destroy();
  }
}

describe.skipIf(server === null).each(WAYS)(
  "a commit that waits for a synchronous standby, through $name",
  ({ name, options }) => {
    beforeEach(() => waitFor(""));

    it.each(["a group of writes", "a handler's transaction"])(
      "is not seen before the standby has it, although nobody waits for its answer any more (%s)",
      async (kind) => {
        if (name.startsWith("PgBouncer") && bouncer === null) return;
        const connectionString = (name.startsWith("PgBouncer") ? bouncer?.url : server?.url) ?? "";
        const schema = newSchema();
        const storage = postgres({ ...options, connectionString, schema, statementDeadline: "2s" });
        const session = await storage.open(services());
        onTestFinished(() => session.close());
        const { messages } = session;
        const fence = await claim(messages);
        const envelope = request();
        if (kind === "a handler's transaction") await messages.saveRequest(envelope, 1, fence);
        const before = await messages.lookUp([envelope.requestId]);
        await waitFor("absent");
        onTestFinished(() => waitFor(""));
        const write = async (): Promise<unknown> => {
          if (kind === "a group of writes") return messages.saveRequest(envelope, 1, fence);
          const transaction = begin(messages);
          await transaction.query("SELECT 1", []);
          return messages.saveReply(succeeded(envelope.requestId), fence, transaction);
        };
        await expect(write()).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
        expect(await messages.lookUp([envelope.requestId])).toEqual(before);
        await waitFor("");
        const expected = kind === "a group of writes" ? "pending" : "answered";
        await expect
          .poll(async () => (await messages.lookUp([envelope.requestId]))[0]?.state, { timeout: 10_000 })
          .toBe(expected);
      },
    );

    it("has a handler attempted once, whose caller is answered when the standby has it", async () => {
      if (name.startsWith("PgBouncer") && bouncer === null) return;
      const schema = newSchema();
      await admin.query(`CREATE TABLE ${schema}_payments (id text)`);
      let attempts = 0;
      const Account = defineEntity({
        name: "Account",
        rpcs: { pay: rpc<void, string>({ persisted: true }) },
      });
      const account = Account.implement({
        async pay(_input, ctx) {
          attempts += 1;
          await postgresTx(ctx).query(`INSERT INTO ${schema}_payments VALUES ($1)`, [ctx.entityId]);
          await waitFor("absent");
          return "paid";
        },
      });
      // The first says that nobody heard of its commit, and the second that what is written behind it waits.
      let failures = 0;
      const isHeldUp = Promise.withResolvers<void>();
      const note = (): void => void ((failures += 1) === 2 && isHeldUp.resolve());
      const cluster = await createCluster({
        storage: postgres({
          ...options,
          connectionString: (name.startsWith("PgBouncer") ? bouncer?.url : server?.url) ?? "",
          schema,
          statementDeadline: "2s",
        }),
        runners: createMemoryBackend().runners,
        transport: createMemoryBackend().transport(),
        shardRebalanceDebounce: 0,
        shardsPerGroup: 4,
        register: [account],
        logger: { debug: note, info: () => undefined, warn: note, error: note },
      });
      onTestFinished(() => cluster.shutdown());
      onTestFinished(() => waitFor(""));
      await cluster.start();
      const paid = cluster.entity(Account, "a").pay(undefined, { timeout: "60s" });
      await isHeldUp.promise;
      expect((await admin.query(`SELECT FROM ${schema}_payments`)).rowCount).toBe(0);
      await waitFor("");
      expect(await paid).toBe("paid");
      expect((await admin.query(`SELECT FROM ${schema}_payments`)).rowCount).toBe(1);
      expect(attempts).toBe(1);
    });
  },
);
