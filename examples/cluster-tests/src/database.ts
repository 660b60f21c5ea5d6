// The suite's own tables, beside the library's in the same database. No table of effects has a unique key: an effect that
// happened twice would show.

import type { Database } from "@holdfast/example-orders/database.ts";

/** The schema of the library's tables; the suite's own are in `suite`. */
const SCHEMA = "suite_holdfast";

const TABLES = [
  "create schema if not exists suite",
  "create table if not exists suite.counters (id text primary key, value int not null)",
  "create table if not exists suite.increments (id text not null, key text not null, amount int not null)",
  "create table if not exists suite.evictions (id text not null)",
  "create table if not exists suite.audit_log (n bigint generated always as identity, user_id text not null, action text not null)",
  "create table if not exists suite.users (id text primary key, email text not null, version int not null)",
  "create table if not exists suite.activity_log (n bigint generated always as identity, execution_id text not null, activity text not null, attempt int not null)",
  "create table if not exists suite.timers (id text not null, name text not null, asked_at double precision not null, delay_ms int not null, state text not null, fired_at double precision)",
  "create table if not exists suite.messages (n bigint generated always as identity, id text not null, sender text not null, text text not null)",
  "create table if not exists suite.accounts (id text primary key, transfers int not null, total int not null)",
  "create table if not exists suite.transfers (n bigint generated always as identity, id text not null, recipient text not null, amount int not null)",
  "create table if not exists suite.ticks (n bigint generated always as identity, runner text not null, pid int not null, fencing_token bigint not null, at double precision not null)",
  "create table if not exists suite.orders (order_id text not null, effect text not null)",
];

/** Makes the tables, unless they are there. */
export async function prepareTables(database: Database): Promise<void> {
  for (const statement of TABLES) await database.query(statement);
}

/** What the option `storage` takes for a server. */
export function storageUrlAt(url: string): string {
  const storage = new URL(url);
  storage.searchParams.set("schema", SCHEMA);
  return storage.href;
}

/** What the library keeps of one entity's requests, or of one execution. */
export interface StoredRows {
  readonly requests: number;
  /** Accepted, and not yet answered. */
  readonly pending: number;
  readonly replies: number;
  readonly journal: number;
}

/** Reads the library's own tables, as an operator at a prompt might. They are no part of its interface. */
export async function readStoredRows(
  database: Database,
  entityType: string,
  entityId: string,
): Promise<StoredRows> {
  const { rows } = await database.query<Record<keyof StoredRows, string>>(
    `with asked as (select sequence from ${SCHEMA}.requests where entity_type = $1 and entity_id = $2)
     select (select count(*) from asked) as requests,
            (select count(*) from ${SCHEMA}.pending where sequence in (select sequence from asked)) as pending,
            (select count(*) from ${SCHEMA}.replies where sequence in (select sequence from asked)) as replies,
            (select count(*) from ${SCHEMA}.journal where key = any(${SCHEMA}.journal_keys_v12($1, $2))) as journal`,
    [entityType, entityId],
  );
  const row = rows[0];
  return {
    requests: Number(row?.requests ?? 0),
    pending: Number(row?.pending ?? 0),
    replies: Number(row?.replies ?? 0),
    journal: Number(row?.journal ?? 0),
  };
}
