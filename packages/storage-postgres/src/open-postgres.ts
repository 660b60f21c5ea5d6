// Opens a session on a PostgreSQL server: the driver is imported when it is named, the schema migrated, the parts joined.

import {
  AdapterNotInstalledError,
  type AdapterServices,
  type OpenRunners,
  type OpenStorage,
} from "@holdfast/core/adapter";
import { openingError } from "./errors.ts";
import { migrate } from "./migrations.ts";
import type { CommonSettings, PostgresSettings } from "./options.ts";
import { PostgresMessageStorage } from "./postgres-message-storage.ts";
import { PostgresRunnerStorage } from "./postgres-runner-storage.ts";
import { PostgresSession } from "./postgres-session.ts";
import { PostgresWorkflowStorage } from "./postgres-workflow-storage.ts";
import type { SqlDriver } from "./driver.ts";
import type { PostgresJsModule } from "./postgres-js-module.ts";
import type { ServerPool } from "./server-connection.ts";
import { ServerDriver } from "./server-driver.ts";
import { WakeUps } from "./wake-ups.ts";

/** @throws {PersistenceError} @throws {ConfigError} @throws {AdapterNotInstalledError} */
export async function openPostgres(
  settings: PostgresSettings,
  services: AdapterServices,
): Promise<OpenStorage> {
  return storageOn(await connect(settings), settings, services);
}

/** Members and leases alone. @throws {PersistenceError} @throws {ConfigError} @throws {AdapterNotInstalledError} */
export async function openPostgresRunners(
  settings: PostgresSettings,
  services: AdapterServices,
): Promise<OpenRunners> {
  const session = new PostgresSession(await connect(settings), services.clock, settings);
  return { runners: new PostgresRunnerStorage(session), close: () => session.close() };
}

/** @param driver on a migrated schema */
export function storageOn(
  driver: SqlDriver,
  settings: CommonSettings,
  services: AdapterServices,
): OpenStorage {
  const session = new PostgresSession(driver, services.clock, settings);
  const wakeUps = driver.hearsOthers ? new WakeUps(session) : null;
  return {
    messages: new PostgresMessageStorage(session, wakeUps),
    workflows: new PostgresWorkflowStorage(session, wakeUps),
    runners: new PostgresRunnerStorage(session),
    close: () => session.close(),
  };
}

async function connect(settings: PostgresSettings): Promise<SqlDriver> {
  const makePool = await poolMaker(settings.driver);
  const pool = makePool(settings);
  const { pooler, listenConnectionString } = settings;
  const past =
    listenConnectionString === undefined
      ? null
      : makePool({
          ...settings,
          connectionString: listenConnectionString,
          pool: undefined,
          sql: undefined,
          pooler: null,
        });
  const driver = new ServerDriver(pool, pooler === null ? pool : past, settings);
  try {
    await driver.meet().catch((error: unknown) => {
      throw openingError(error);
    });
    await migrate(driver, settings.schema);
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** Imports the client library. @throws {AdapterNotInstalledError} */
async function poolMaker(
  driver: PostgresSettings["driver"],
): Promise<(settings: PostgresSettings) => ServerPool> {
  if (driver !== "postgres.js") {
    try {
      const { default: pg } = await importPeer(() => import("pg"), "pg", "postgres");
      const { PgPool } = await import("./pg-pool.ts");
      return (settings) => new PgPool(pg, settings);
    } catch (error) {
      if (driver === "pg" || !(error instanceof AdapterNotInstalledError)) throw error;
      const found = await poolMaker("postgres.js").catch(() => null);
      if (found === null) throw error;
      return found;
    }
  }
  const { default: postgresJs } = await importPeer(() => import("postgres"), "postgres", "postgres");
  const { PostgresJsPool } = await import("./postgres-js-pool.ts");
  return (settings) => new PostgresJsPool(postgresJs as unknown as PostgresJsModule, settings);
}

/** Imports a driver that the user chooses to install. @throws {AdapterNotInstalledError} */
export async function importPeer<Module>(
  load: () => Promise<Module>,
  packageName: string,
  scheme: string,
): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code !== "ERR_MODULE_NOT_FOUND" || !String(cause).includes(`'${packageName}'`)) throw cause;
    throw new AdapterNotInstalledError({ option: "storage", scheme, packageName }, { cause });
  }
}
