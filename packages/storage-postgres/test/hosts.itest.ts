// Several hosts, of which postgres.js looks for the one that `target_session_attrs` asks for.

import pg from "pg";
import postgresJs from "postgres";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { freePort } from "../../../test/services/free-port.ts";
import { startOwnPostgres } from "../../../test/services/postgres.ts";
import { postgres, type PostgresOptions } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { claim, request } from "./work.ts";

const servers = await Promise.all([startOwnPostgres(), startOwnPostgres()]).catch((error: unknown) => {
  if (process.env["CI"] === "true") throw error;
  console.warn(`\nTests on several PostgreSQL servers do not run.\n${String(error)}\n`);
  return [];
});
const [standby, primary] = servers;
afterAll(async () => {
  for (const server of servers) await server.stop();
});

describe.skipIf(standby === undefined || primary === undefined)(
  "several hosts that postgres.js is given",
  () => {
    const schema = newSchema();
    let nobody: number;
    beforeAll(async () => {
      nobody = await freePort();
      // A server that takes no writes, as a standby does not.
      const client = new pg.Client({ connectionString: standby?.url ?? "" });
      await client.connect();
      await client.query("ALTER DATABASE postgres SET default_transaction_read_only = on");
      await client.end();
    });

    /** What postgres.js is given. */
    function clientOf(ports: readonly number[]) {
      return {
        host: ports.map(() => "127.0.0.1"),
        port: [...ports],
        user: "postgres",
        database: "postgres",
        target_session_attrs: "read-write" as const,
      };
    }

    async function open(options: PostgresOptions) {
      const session = await postgres({ driver: "postgres.js", schema, poolSize: 4, ...options }).open(
        services(),
      );
      onTestFinished(() => session.close());
      return session;
    }

    it.each(["options", "a client of the user's"])(
      "lead to the one that takes writes (%s)",
      async (given) => {
        // The first one is not there, the second one is not it.
        const client = clientOf([nobody, portOf(standby), portOf(primary)]);
        // The types of postgres.js know a text alone where they mean several.
        const sql = postgresJs(client as unknown as { host: string });
        onTestFinished(() => sql.end());
        const { messages } = await open(given === "options" ? { client } : { sql });
        const fence = await claim(messages);
        const ids = await Promise.all(
          Array.from({ length: 12 }, async () => {
            const envelope = request();
            await messages.saveRequest(envelope, 1, fence);
            return envelope.requestId;
          }),
        );
        expect((await messages.lookUp(ids)).every(({ state }) => state === "pending")).toBe(true);
        const writer = new pg.Client({ connectionString: primary?.url ?? "" });
        await writer.connect();
        const { rows } = await writer.query(`SELECT count(*)::int AS count FROM ${schema}.shards`);
        await writer.end();
        expect(rows).toEqual([{ count: 1 }]);
      },
    );

    it.each([
      ["one that takes none", () => [portOf(standby)]],
      ["two that take none", () => [portOf(standby), portOf(standby)]],
      ["nobody, and one that takes none", () => [nobody, portOf(standby)]],
      ["one that takes none, and nobody", () => [portOf(standby), nobody]],
      ["nobody, twice", () => [nobody, nobody]],
    ])("are refused at once where none takes writes: %s", async (_, ports) => {
      const opened = open({ client: clientOf(ports()), statementDeadline: "60s" });
      // Not for want of an answer.
      await expect(opened).rejects.toThrow(/none of the hosts|ECONNREFUSED|CONNECTION_DESTROYED/);
    });
  },
);

function portOf(server: { readonly url: string } | undefined): number {
  return Number(new URL(server?.url ?? "postgres://localhost").port);
}
