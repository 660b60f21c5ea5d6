// Commits that wait for a synchronous standby. Whoever ends a server process that waits so makes its commit seen before the standby
// has it: what is answered from that is lost when the standby takes over.

import pg from "pg";
import { afterAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { startPgBouncer } from "../../../test/services/pgbouncer.ts";
import { startOwnPostgres } from "../../../test/services/postgres.ts";
import { postgres, type PostgresOptions } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { begin, claim, request, succeeded } from "./work.ts";

const server = await startOwnPostgres({ durable: true }).catch((error: unknown) => {
  if (process.env["CI"] === "true") throw error;
  console.warn(`\nTests that break a PostgreSQL do not run.\n${String(error)}\n`);
  return null;
});
const bouncer = server === null ? null : await startPgBouncer(server.url).catch(() => null);
const admin = new pg.Pool({ connectionString: server?.url ?? "", max: 1 });
afterAll(async () => {
  await admin.end();
  await bouncer?.stop();
  await server?.stop();
});

const WAYS: readonly { readonly name: string; readonly options: PostgresOptions }[] = [
  { name: "pg", options: { driver: "pg" } },
  { name: "postgres.js", options: { driver: "postgres.js" } },
  { name: "PgBouncer and pg", options: { driver: "pg", pooler: "transaction" } },
  { name: "PgBouncer and postgres.js", options: { driver: "postgres.js", pooler: "transaction" } },
];

/** Commits wait for a standby of this name; none: for nobody. */
async function waitFor(standby: string): Promise<void> {
  await admin.query(`ALTER SYSTEM SET synchronous_standby_names = '${standby}'`);
  await admin.query("SELECT pg_reload_conf()");
  // Other processes hear of it in their own time.
  await expect
    .poll(async () => (await admin.query("SHOW synchronous_standby_names")).rows)
    .toEqual([{ synchronous_standby_names: standby }]);
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
        const storage = postgres({ ...options, connectionString, schema, statementDeadline: "1s" });
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
  },
);
