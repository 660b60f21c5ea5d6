import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import {
  ConfigError,
  PersistenceError,
  type AdapterServices,
  type OpenStorage,
} from "@holdfast/core/adapter";
import { outwardError } from "./errors.ts";
import { migrate } from "./migrations.ts";
import type { SqliteSettings } from "./options.ts";
import { SqliteConnection } from "./sqlite-connection.ts";
import { SqliteMessageStorage } from "./sqlite-message-storage.ts";
import { SqliteSession, whenFree } from "./sqlite-session.ts";
import { SqliteWorkflowStorage } from "./sqlite-workflow-storage.ts";

/**
 * Readers see what is committed while one writes, and a commit is on disk before it is reported.
 *
 * @throws {ConfigError} there is no WAL at `path`
 */
export function makeDurable(connection: SqliteConnection, path: string): void {
  // Where the file system cannot share memory SQLite stays with another mode, and says so without an error.
  const answer = connection.get<{ journal_mode: string }>("PRAGMA journal_mode = WAL");
  if (answer?.journal_mode !== "wal")
    throw new ConfigError({
      option: "storage.path",
      got: path,
      takes: `a file on a disk of this machine, where SQLite can keep a WAL; here it keeps "${answer?.journal_mode}"`,
    });
  connection.exec("PRAGMA synchronous = FULL");
  // On macOS a plain fsync leaves the data in the disk's cache. Elsewhere it does nothing.
  connection.exec("PRAGMA fullfsync = 1");
}

/** Opens the file and brings its tables up to date. @throws {PersistenceError} @throws {ConfigError} */
export async function openSqlite(settings: SqliteSettings, { clock }: AdapterServices): Promise<OpenStorage> {
  const { path, busyTimeoutMs } = settings;
  const opened: SqliteConnection[] = [];
  const connect = async (): Promise<SqliteConnection> => {
    const connection = new SqliteConnection(path);
    opened.push(connection);
    await whenFree(clock, busyTimeoutMs, "open", () => makeDurable(connection, path));
    return connection;
  };
  try {
    makeFolder(dirname(path));
    const session = new SqliteSession({ writer: await connect(), reader: await connect() }, settings, clock);
    await session.write("open", migrate);
    return {
      messages: new SqliteMessageStorage(session),
      workflows: new SqliteWorkflowStorage(session),
      // Who has several processes names a store of leases. It decides how soon shards move, not whether data is right.
      runners: null,
      close: () => session.close(),
    };
  } catch (error) {
    for (const connection of opened) connection.close();
    throw outwardError("open", "not-written", error);
  }
}

/** @throws {PersistenceError} */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new PersistenceError({ operation: "open", outcome: "not-written", detail }, { cause: error });
  }
}
