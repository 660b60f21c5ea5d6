import { postgres } from "@holdfast/storage-postgres";
import type { StorageAdapter } from "@holdfast/core/adapter";
import pg from "pg";
import type { Database } from "./database.ts";

/** The schema of the library's tables on the server; the example's own are in `orders`. */
const SCHEMA = "orders_holdfast";

export function storageAt(url: string): StorageAdapter {
  return postgres({ connectionString: url, schema: SCHEMA });
}

/** The same as the URL that the option `storage` takes. */
export function storageUrlAt(url: string): string {
  const storage = new URL(url);
  storage.searchParams.set("schema", SCHEMA);
  return storage.href;
}

/** The example's own connections to a server, beside the library's. */
export function openServer(url: string): { database: Database; close: () => Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  // A connection that breaks while nobody uses it is replaced when the next query needs one.
  pool.on("error", () => undefined);
  return {
    database: { query: async (text, params = []) => pool.query(text, [...params]) as never },
    close: () => pool.end(),
  };
}

/** Forgets all orders. */
export async function clearServer(database: Database): Promise<void> {
  await database.query("drop schema if exists orders cascade");
  await database.query(`drop schema if exists ${SCHEMA} cascade`);
}
