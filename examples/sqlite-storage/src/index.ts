// Holdfast on SQLite: an adapter as one writes it for a backend of one's own.

import type { StorageAdapter } from "@holdfast/core/adapter";
import { openSqlite } from "./open-sqlite.ts";
import { optionsFromUrl, sqliteSettings, type SqliteOptions } from "./options.ts";

export type { SqliteOptions } from "./options.ts";
export { sqliteTx, type SqliteTx } from "./sqlite-tx.ts";

/**
 * Requests, journals and epochs in a SQLite file, through `node:sqlite`. Several processes of one machine may have the file
 * open at once; they take turns in writing. Members and leases are kept elsewhere.
 *
 * A commit is on disk when it is reported (WAL, `synchronous = FULL`). A handler's transaction keeps every other write
 * waiting, so a handler must not wait for another entity inside of one.
 *
 * @throws {ConfigError} an option is out of range
 */
export function sqlite(options: SqliteOptions): StorageAdapter {
  const settings = sqliteSettings(options);
  return { kind: "storage", open: (services) => openSqlite(settings, services) };
}

/** Reads `sqlite:./data/orders.db?busyTimeout=10s&transactionTimeout=5s`. @throws {ConfigError} */
export function storageFromUrl(url: string): StorageAdapter {
  return sqlite(optionsFromUrl(url));
}
