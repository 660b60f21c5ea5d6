import type { ClusterOptions } from "@holdfast/core";
import { memoryTransport } from "@holdfast/core";
import { postgres } from "@holdfast/storage-postgres";
import pg from "pg";
import type { Database } from "./database.ts";

/** The example's own connections to a PostgreSQL server. */
export function connect(url: string): { database: Database; close(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  // An idle connection that breaks is replaced by the next query.
  pool.on("error", () => undefined);
  return {
    database: {
      async query<Row>(text: string, params: readonly unknown[] = []) {
        const { rows } = await pool.query(text, [...params]);
        return { rows: rows as Row[] };
      },
    },
    close: () => pool.end(),
  };
}

/**
 * How the processes of this example make up a cluster: one PostgreSQL server holds requests, journals and leases. They
 * have no transport between them, so every request goes through storage, which announces it.
 */
export function sharedOptions(url: string): ClusterOptions {
  return {
    storage: postgres({ connectionString: url, poolSize: 10 }),
    transport: memoryTransport(undefined, { address: `process:${process.pid}` }),
    shardsPerGroup: 60,
    runnerLockTtl: "3s",
    runnerLockRefreshInterval: "500ms",
    shardRebalanceDebounce: "100ms",
    storagePollInterval: "100ms",
    sendRetryCount: 0,
  };
}
