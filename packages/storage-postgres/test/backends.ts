// What the suites of this package run on: a server, through each client library and PgBouncer, and PGlite; each backend in a schema of its own.

import { randomUUID } from "node:crypto";
import type { PGlite } from "@electric-sql/pglite";
import type { StorageAdapter, StorageTransaction } from "@holdfast/core/adapter";
import { adapterServices, type RunnersBackend, type StorageBackend } from "@holdfast/testing";
import pg from "pg";
import { pglite, postgres, type PostgresOptions } from "../src/index.ts";
import { PostgresTransaction } from "../src/postgres-transaction.ts";

export const services = adapterServices;

/** A term of a lease, long enough for a slow machine to refresh in time. */
const TTL_MS = 600;

/** Runs one statement outside of every adapter. */
export type Sql = <Row = Record<string, unknown>>(text: string, params?: unknown[]) => Promise<Row[]>;

export function newSchema(): string {
  return `t_${randomUUID().replaceAll("-", "")}`;
}

export type PostgresBackend = StorageBackend & { readonly schema: string; readonly sql: Sql };

/** A backend on the server at `url`. Sessions have few connections: the suites open many. */
export function serverBackend(url: string, options: PostgresOptions = {}): PostgresBackend {
  const schema = newSchema();
  const adapter = postgres({ connectionString: url, schema, poolSize: 6, ...options });
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on("error", () => undefined);
  const sql: Sql = async (text, params = []) => (await pool.query(text, params)).rows as never;
  return backend(adapter, schema, sql, () => pool.end());
}

/** A backend on a shared PGlite. */
export function embeddedBackend(instance: PGlite): PostgresBackend {
  const schema = newSchema();
  const adapter = pglite({ instance, schema });
  const sql: Sql = async (text, params = []) => (await instance.query(text, params)).rows as never;
  return backend(adapter, schema, sql, async () => undefined);
}

/**
 * One backend for many cases, one after the other: what a case leaves is deleted. A schema for each of them would take longer
 * than the cases do.
 */
export function emptiedBackend(shared: PostgresBackend): StorageBackend {
  return {
    ...shared,
    dispose: async () => {
      await shared.sql(`DO $do$
        DECLARE v_table regclass;
        BEGIN
          FOR v_table IN SELECT c.oid FROM pg_class c WHERE c.relkind = 'r' AND c.relname <> 'migrations'
            AND c.relnamespace = to_regnamespace('${shared.schema}')
          LOOP
            EXECUTE 'DELETE FROM ' || v_table;
          END LOOP;
          DELETE FROM ${effectsTable(shared.schema)};
        END $do$`);
    },
  };
}

/** The same for members and leases, on the server's own clock. */
export function runnersBackend(storage: StorageBackend): RunnersBackend {
  return {
    open: async () => {
      const session = await storage.open();
      if (session.runners === null) throw new Error("The storage has no members.");
      return { runners: session.runners, close: () => session.close() };
    },
    ttlMs: TTL_MS,
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    dispose: () => storage.dispose(),
  };
}

function backend(
  adapter: StorageAdapter,
  schema: string,
  sql: Sql,
  end: () => Promise<void>,
): PostgresBackend {
  const effects = effectsTable(schema);
  const made = sql(`CREATE TABLE ${effects} (key text PRIMARY KEY)`);
  return {
    schema,
    sql,
    open: () => adapter.open(services()),
    transactions: {
      write: async (transaction, key) => {
        await made;
        await opened(transaction).query(`INSERT INTO ${effects} VALUES ($1) ON CONFLICT DO NOTHING`, [key]);
      },
      fail: async (transaction) => {
        await opened(transaction).query(`SELECT 1 / $1::int`, [0]);
      },
      has: async (key) => {
        await made;
        return (await sql(`SELECT 1 FROM ${effects} WHERE key = $1`, [key])).length > 0;
      },
    },
    dispose: async () => {
      await made;
      await sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await sql(`DROP TABLE ${effects}`);
      await end();
    },
  };
}

/** What transactions of a case write of their own. */
function effectsTable(schema: string): string {
  return `${schema}_effects`;
}

function opened(transaction: StorageTransaction): PostgresTransaction {
  if (transaction instanceof PostgresTransaction) return transaction;
  throw new Error("The storage opened a transaction that is not its own.");
}
