// A PostgreSQL that a test breaks, or sets up as it likes: one of its own, which waits for the disk, and the ways to it.

import { startPgBouncer } from "../../../test/services/pgbouncer.ts";
import { startOwnPostgres } from "../../../test/services/postgres.ts";
import type { PostgresOptions } from "../src/index.ts";

/** Null for what this machine has no program for: the tests that need it do not run, which fails where CI is true. */
export async function startBreakableServer() {
  const server = await startOwnPostgres({ durable: true }).catch((error: unknown) => {
    if (process.env["CI"] === "true") throw error;
    console.warn(`\nTests that break a PostgreSQL do not run.\n${String(error)}\n`);
    return null;
  });
  const bouncer = server === null ? null : await startPgBouncer(server.url).catch(() => null);
  const stop = async (): Promise<void> => {
    await bouncer?.stop();
    await server?.stop();
  };
  return { server, bouncer, stop };
}

export const WAYS: readonly { readonly name: string; readonly options: PostgresOptions }[] = [
  { name: "pg", options: { driver: "pg" } },
  { name: "postgres.js", options: { driver: "postgres.js" } },
  { name: "PgBouncer and pg", options: { driver: "pg", pooler: "transaction" } },
  { name: "PgBouncer and postgres.js", options: { driver: "postgres.js", pooler: "transaction" } },
];
