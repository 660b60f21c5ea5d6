import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { AdapterServices, OpenStorage } from "@holdfast/core/adapter";
import { outwardError } from "./errors.ts";
import { migrate } from "./migrations.ts";
import type { SqliteSettings } from "./options.ts";
import { SqliteConnection } from "./sqlite-connection.ts";
import { SqliteMessageStorage } from "./sqlite-message-storage.ts";
import { SqliteSession, whenFree } from "./sqlite-session.ts";
import { SqliteWorkflowStorage } from "./sqlite-workflow-storage.ts";

/** Opens the file and brings its tables up to date. @throws {PersistenceError} @throws {ConfigError} */
export async function openSqlite(settings: SqliteSettings, { clock }: AdapterServices): Promise<OpenStorage> {
  const { path, busyTimeoutMs } = settings;
  const opened: SqliteConnection[] = [];
  const connect = async (): Promise<SqliteConnection> => {
    const connection = new SqliteConnection(path);
    opened.push(connection);
    await whenFree(clock, busyTimeoutMs, "open", () => {
      // Readers see what is committed while one writes, and a commit is on disk before it is reported.
      connection.exec("PRAGMA journal_mode = WAL");
      connection.exec("PRAGMA synchronous = FULL");
    });
    return connection;
  };
  try {
    mkdirSync(dirname(path), { recursive: true });
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
