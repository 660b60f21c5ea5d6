import pg from "pg";

/** An empty database beside the one of a contestant, on the same server. */
export interface ScratchDatabase {
  readonly url: string;
  /** Takes it away. Ends connections that are left. */
  drop(): Promise<void>;
}

/**
 * Where one workload must not see what another left behind: a backlog that nobody takes, or a NOTIFY, which a whole database
 * hears.
 *
 * @param name ends the new database's name, which begins with that of `beside`
 */
export async function scratchDatabase(beside: string, name: string): Promise<ScratchDatabase> {
  const url = new URL(beside);
  const database = `${decodeURIComponent(url.pathname.slice(1))}_${name}`;
  url.pathname = `/${encodeURIComponent(database)}`;
  const quoted = pg.escapeIdentifier(database);
  await say(beside, `create database ${quoted}`);
  return {
    url: url.href,
    drop: () => say(beside, `drop database if exists ${quoted} with (force)`),
  };
}

async function say(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
