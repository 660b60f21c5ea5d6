// Holdfast on PostgreSQL: the adapters, and the transactions of their handlers.

import { ConfigError, type RunnersAdapter, type StorageAdapter } from "@holdfast/core/adapter";
import { PGliteSessions } from "./open-pglite.ts";
import { openPostgres, openPostgresRunners } from "./open-postgres.ts";
import { pgliteSettings, postgresSettings, type PGliteOptions, type PostgresOptions } from "./options.ts";

export type {
  CommonOptions,
  PGliteInstance,
  PGliteNative,
  PGliteOptions,
  PgPool,
  PostgresJsClient,
  PostgresOptions,
} from "./options.ts";
export { postgresTx, type PostgresTx } from "./postgres-tx.ts";

const BACKEND = "postgres";

/**
 * Requests, journals, members and leases on a PostgreSQL server, through the package `pg` or the package `postgres` (postgres.js).
 * Needs PostgreSQL 14 or later.
 *
 * @throws {ConfigError} an option is out of range
 */
export function postgres(options: PostgresOptions = {}): StorageAdapter {
  const settings = postgresSettings(options);
  return { kind: "storage", backend: BACKEND, open: (services) => openPostgres(settings, services) };
}

/**
 * The same on PGlite, PostgreSQL inside of this process, through `@electric-sql/pglite`: in a folder, or in memory.
 *
 * Data in a folder survives a crash of the process; the last moments before a power cut may be lost, since PGlite does not
 * wait for the disk. It has one session: while a handler's transaction is open everything else waits, so a handler must
 * not wait for another entity inside of one.
 *
 * @throws {ConfigError} an option is out of range
 */
export function pglite(options: PGliteOptions = {}): StorageAdapter {
  const sessions = new PGliteSessions(pgliteSettings(options));
  return { kind: "storage", open: (services) => sessions.open(services) };
}

/** Members and leases on a PostgreSQL server, for a cluster that keeps its requests elsewhere. @throws {ConfigError} */
export function postgresRunners(options: PostgresOptions = {}): RunnersAdapter {
  const settings = postgresSettings(options);
  return { kind: "runners", open: (services) => openPostgresRunners(settings, services) };
}

/**
 * Reads the option `storage`: `postgres://user@host/database`, `pglite:./data`, or `pglite:` for a database in memory. A
 * server's URL may name the schema, the driver and the pooler: `?schema=orders&driver=postgres.js&pooler=transaction`.
 *
 * @throws {ConfigError}
 */
export function storageFromUrl(url: string): StorageAdapter {
  if (!url.startsWith("pglite:")) return postgres(optionsFromUrl(url, "storage"));
  const path = url.slice("pglite:".length).replace(/^\/\//, "");
  return pglite(path === "" || path === "memory" ? {} : { dataDir: path });
}

/**
 * Reads the option `runners`: the same URL of a server, or `postgres:` for the storage's own server; where the storage is not on
 * PostgreSQL, for what the PG* environment variables say. @throws {ConfigError}
 */
export function runnersFromUrl(url: string): RunnersAdapter {
  const options = optionsFromUrl(url, "runners");
  const adapter = postgresRunners(options);
  return Object.keys(options).length === 0 ? { ...adapter, sharedBackend: BACKEND } : adapter;
}

function optionsFromUrl(url: string, option: string): PostgresOptions {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // It may hold a password: not shown.
    throw new ConfigError({
      option,
      got: "no valid URL",
      takes: 'a URL such as "postgres://user@host:5432/database" or "pglite:./data"',
    });
  }
  const options: Record<string, string> = {};
  for (const name of ["schema", "driver", "pooler"]) {
    const value = parsed.searchParams.get(name);
    if (value !== null) options[name] = value;
    parsed.searchParams.delete(name);
  }
  // Without a place it is what the environment says.
  if (/^postgres(?:ql)?:(?!\/\/)/.test(url)) return options;
  return { connectionString: parsed.href, ...options };
}
