import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { pglite, postgres } from "@holdfast/storage-postgres";
import pg from "pg";
import { startPostgres } from "../../test/services/postgres.ts";
import type { Database } from "./durable.ts";

/** PGlite in memory, or in a folder. Its statements are serial: one connection. */
export async function pgliteDatabase(place: "memory" | "folder"): Promise<Database> {
  const folder = place === "folder" ? await mkdtemp(join(tmpdir(), "holdfast-bench-")) : undefined;
  const client = new PGlite(folder === undefined ? {} : { dataDir: folder });
  await client.waitReady;
  return {
    name: `PGlite in ${place === "memory" ? "memory" : "a folder"}`,
    storage: pglite({ instance: client }),
    connections: 1,
    query: (text, params = []) => client.query(text, [...params]),
    async close() {
      await client.close();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A PostgreSQL server that syncs each commit to disk. */
export async function postgresDatabase(): Promise<Database> {
  const service = await startPostgres({ durable: true });
  const connections = 16;
  const pool = new pg.Pool({ connectionString: service.url, max: connections });
  pool.on("error", () => undefined);
  return {
    name: `PostgreSQL, durable (${service.how})`,
    storage: postgres({ connectionString: service.url }),
    connections,
    // Prepared by name, as the library's own statements are.
    query: (text, params = []) =>
      pool.query({ ...(params.length > 0 ? { name: "raw" } : {}), text, values: [...params] }),
    async close() {
      await pool.end();
      await service.stop();
    },
  };
}
