// Server statistics: what a PostgreSQL server itself saw: statements, commits of transactions that wrote, and bytes of WAL.
//
// It must be a server of its own: everything else that asks it anything is counted, too.

import pg from "pg";
import { startOwnPostgres } from "../../test/services/postgres.ts";

/** What the server did, between two moments or for one of something. */
export interface ServerCost {
  readonly statements: number;
  readonly commits: number;
  readonly walBytes: number;
}

export interface ServerReading extends ServerCost {
  readonly at: number;
}

/** A server that counts, with its commits on disk. */
export interface CountedServer {
  readonly url: string;
  /** For whoever measures: its own statements are not counted. */
  readonly reader: pg.Client;
  stop(): Promise<void>;
}

/** @throws {Error} there is no program postgres here */
export async function startCountedServer(): Promise<CountedServer> {
  const server = await startOwnPostgres({ durable: true });
  const reader = new pg.Client({ connectionString: server.url });
  const stop = async (): Promise<void> => {
    await reader.end().catch(() => undefined);
    await server.stop();
  };
  try {
    await keepStatistics(server);
    await reader.connect();
    await reader.query("CREATE EXTENSION pg_stat_statements");
    return { url: server.url, reader, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Statistics of statements need a library that the server loads when it starts. */
async function keepStatistics(server: Awaited<ReturnType<typeof startOwnPostgres>>): Promise<void> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
  await client.end();
  await server.control.restart({ mode: "fast" });
}

/**
 * Statements of the top level but for the reader's own, and transactions that wrote: those are what a commit costs a flush
 * for. They are counted by their ids, of which write_group_v10 takes two.
 */
export async function readServer(reader: pg.Client): Promise<ServerReading> {
  const { rows } = await reader.query<{ statements: string; commits: string; wal: string }>(
    `SELECT (SELECT sum(calls) FROM pg_stat_statements WHERE toplevel AND query NOT LIKE '%pg_stat_%') AS statements,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint - (
         SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE toplevel AND query LIKE '%write_group_v10%') AS commits,
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal`,
  );
  const [row] = rows;
  return {
    statements: Number(row?.statements),
    commits: Number(row?.commits),
    walBytes: Number(row?.wal),
    at: performance.now(),
  };
}

export function costBetween(from: ServerReading, to: ServerReading): ServerCost & { readonly ms: number } {
  return {
    statements: to.statements - from.statements,
    commits: to.commits - from.commits,
    walBytes: to.walBytes - from.walBytes,
    ms: to.at - from.at,
  };
}
