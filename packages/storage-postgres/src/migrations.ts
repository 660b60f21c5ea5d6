// Migrations: bring the schema to what this release needs.
//
// Versions follow one another and each is applied once, all of a run in one transaction under a lock, so that any number
// of processes may start at once. A version never takes away what the release before it uses: functions bear a version in
// their names and stay for a release, so that a rolling upgrade has both at work.
//
// A statement that waits for a table's lock has writers wait behind it, for the session's lock_timeout at the most: then
// nothing was done, and the next start tries again. An index on a table that may be large would hold writers up for
// longer, and CONCURRENTLY needs a step outside of the transaction, which no version has needed yet.

import { ConfigError } from "@holdfast/core/adapter";
import type { SqlDriver, SqlTransaction } from "./driver.ts";
import { isTransient, persistenceError } from "./errors.ts";
import { functionsOfVersion1 } from "./migration-1-functions.ts";
import { tablesOfVersion1 } from "./migration-1.ts";
import { functionsOfVersion2 } from "./migration-2.ts";
import { functionsOfVersion3 } from "./migration-3.ts";
import { tablesAndFunctionsOfVersion4 } from "./migration-4.ts";
import { functionsOfVersion5 } from "./migration-5.ts";
import { functionsOfVersion6 } from "./migration-6.ts";
import { functionsOfVersion7 } from "./migration-7.ts";
import { functionsOfVersion8 } from "./migration-8.ts";
import { tablesAndFunctionsOfVersion9 } from "./migration-9.ts";
import { functionsOfVersion10 } from "./migration-10.ts";
import { functionsOfVersion11 } from "./migration-11.ts";
import { functionsOfVersion12 } from "./migration-12.ts";
import { functionsOfVersion13 } from "./migration-13.ts";
import { functionsOfVersion14 } from "./migration-14.ts";

interface Migration {
  readonly version: number;
  /** The lowest version whose release still works on a schema that has this one. */
  readonly worksFrom: number;
  readonly script: (schema: string) => string;
}

const MIGRATIONS: readonly Migration[] = [
  { version: 1, worksFrom: 1, script: (schema) => tablesOfVersion1(schema) + functionsOfVersion1(schema) },
  { version: 2, worksFrom: 1, script: functionsOfVersion2 },
  { version: 3, worksFrom: 1, script: functionsOfVersion3 },
  { version: 4, worksFrom: 1, script: tablesAndFunctionsOfVersion4 },
  { version: 5, worksFrom: 1, script: functionsOfVersion5 },
  { version: 6, worksFrom: 1, script: functionsOfVersion6 },
  { version: 7, worksFrom: 1, script: functionsOfVersion7 },
  { version: 8, worksFrom: 1, script: functionsOfVersion8 },
  { version: 9, worksFrom: 1, script: tablesAndFunctionsOfVersion9 },
  { version: 10, worksFrom: 1, script: functionsOfVersion10 },
  { version: 11, worksFrom: 1, script: functionsOfVersion11 },
  { version: 12, worksFrom: 1, script: functionsOfVersion12 },
  { version: 13, worksFrom: 1, script: functionsOfVersion13 },
  { version: 14, worksFrom: 1, script: functionsOfVersion14 },
];

const LATEST = MIGRATIONS.length;
/** In others there are texts that they cannot keep: what has such a one would be tried again for ever. */
const ENCODINGS: ReadonlySet<string> = new Set(["UTF8", "SQL_ASCII"]);
/** One step may write a whole table anew: what bounds it is that a server that is silent for ever ends, too. In milliseconds. */
const STEP_DEADLINE_MS = 3_600_000;
/**
 * How often the server looks, during a step, whether who migrates is still there: else it would go on for one that was killed, up
 * to the deadline, with the table locked, and then take it all back. Some systems' servers cannot look.
 */
const LOOK_MS = 1_000;
const STEP_SETTINGS = `SET LOCAL statement_timeout = ${STEP_DEADLINE_MS};
  DO $do$ BEGIN SET LOCAL client_connection_check_interval = ${LOOK_MS}; EXCEPTION WHEN OTHERS THEN NULL; END $do$`;
/** From the wait for others on. The user's role may have a time-out of transactions for its own, which servers before version 17 lack. */
const NO_TRANSACTION_TIMEOUT = `DO $do$ BEGIN SET LOCAL transaction_timeout = 0;
  EXCEPTION WHEN undefined_object THEN NULL; END $do$`;
/** Names this package's advisory lock among those of others; the second half is made from the schema. */
const LOCK_CLASS = 0x686f6c64;

/**
 * @param schema a checked identifier
 * @throws {ConfigError} the schema belongs to a release that this one cannot work beside, or the database cannot keep every text
 * @throws {PersistenceError}
 */
export async function migrate(driver: SqlDriver, schema: string): Promise<void> {
  try {
    if (await isLatest(driver, schema)) return;
    await migrateLocked(driver, schema);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw persistenceError("the migration of the schema", error);
  }
}

async function isLatest(driver: SqlDriver, schema: string): Promise<boolean> {
  const { rows } = await driver.run<{ there: boolean; encoding: string }>({
    name: "holdfast_has_migrations",
    text: `SELECT to_regclass($1) IS NOT NULL AS there, current_setting('server_encoding') AS encoding`,
    values: [`"${schema}".migrations`],
  });
  const encoding = rows[0]?.encoding ?? "";
  if (!ENCODINGS.has(encoding)) {
    throw new ConfigError({
      option: "storage",
      got: `a database in ${encoding}`,
      takes: "one in UTF8",
      hint: "Make it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.",
    });
  }
  if (rows[0]?.there !== true) return false;
  const { rows: versions } = await driver.run<{ version: number; works_from: number }>({
    name: "holdfast_read_migrations",
    text: versionsText(schema),
    values: [],
  });
  return current(versions, schema) >= LATEST;
}

async function migrateLocked(driver: SqlDriver, schema: string): Promise<void> {
  const transaction = await driver.begin();
  try {
    await transaction.script(NO_TRANSACTION_TIMEOUT);
    await lock(transaction, schema);
    await transaction.script(
      `DO $do$ BEGIN IF to_regnamespace('"${schema}"') IS NULL THEN CREATE SCHEMA "${schema}"; END IF; END $do$;
       CREATE TABLE IF NOT EXISTS "${schema}".migrations (
         version integer PRIMARY KEY, works_from integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());`,
    );
    const { rows } = await transaction.query<{ version: number; works_from: number }>(
      versionsText(schema),
      [],
    );
    const from = current(rows, schema);
    await transaction.script(STEP_SETTINGS);
    for (const { version, worksFrom, script } of MIGRATIONS.filter((migration) => migration.version > from)) {
      await transaction.script(script(schema), STEP_DEADLINE_MS);
      await transaction.query(`INSERT INTO "${schema}".migrations (version, works_from) VALUES ($1, $2)`, [
        version,
        worksFrom,
      ]);
    }
    await transaction.commitAfter({ name: "holdfast_migrated", text: "SELECT 1 AS migrated", values: [] });
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
}

/** Waits for others who migrate, each wait no longer than the server's lock time-out allows. */
async function lock(transaction: SqlTransaction, schema: string): Promise<void> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      await transaction.script("SAVEPOINT before_lock");
      await transaction.query(`SELECT pg_advisory_xact_lock($1, hashtext($2))`, [LOCK_CLASS, schema]);
      return;
    } catch (error) {
      if (attempts >= 6 || !isTransient(error)) throw error;
      await transaction.script("ROLLBACK TO SAVEPOINT before_lock");
    }
  }
}

/** @throws {ConfigError} a later release took away what this one needs */
function current(rows: readonly { version: number; works_from: number }[], schema: string): number {
  const worksFrom = Math.max(0, ...rows.map((row) => row.works_from));
  if (worksFrom > LATEST) {
    throw new ConfigError({
      option: "schema",
      got: schema,
      takes: `a schema that a release of this age can use, and a later one has migrated it (it needs version ${worksFrom}, this is ${LATEST})`,
      hint: "Deploy a later release of @holdfast/storage-postgres.",
    });
  }
  return Math.max(0, ...rows.map(({ version }) => version));
}

function versionsText(schema: string): string {
  return `SELECT version, works_from FROM "${schema}".migrations`;
}
