// Migrations: bring the tables to what this release needs.
//
// Versions follow one another, and each is applied once, all in one transaction, so that several processes may start at
// once. The version is in a table: `PRAGMA user_version` belongs to the user, whose own tables are in the same file.

import { ConfigError } from "@holdfast/core/adapter";
import type { SqliteConnection } from "./sqlite-connection.ts";

/** From version 1 on. Never changed once released: what is to change later is one more. */
const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE holdfast_shards (
  shard_id TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the sequence of a request that was forgotten is never given again.
CREATE TABLE holdfast_requests (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id TEXT NOT NULL UNIQUE,
  shard_id TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  tag TEXT NOT NULL,
  deduplication_key TEXT,
  headers TEXT NOT NULL,
  expects TEXT NOT NULL,
  uninterruptible INTEGER NOT NULL,
  from_inside INTEGER NOT NULL,
  read_pending_first INTEGER NOT NULL,
  sender TEXT NOT NULL,
  deliver_at REAL,
  -- What became of it. due_at is deliver_at until it is put off; times are in ms since 1970.
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'answered', 'dead')),
  attempts INTEGER NOT NULL,
  due_at REAL,
  ended_at REAL,
  is_ok INTEGER,
  is_cancelled INTEGER NOT NULL DEFAULT 0,
  chunks_saved INTEGER NOT NULL DEFAULT 0,
  chunks_acknowledged INTEGER NOT NULL DEFAULT 0,
  -- The value of a reply that is ok, else the error as JSON.
  outcome TEXT,
  payload TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX holdfast_requests_by_key ON holdfast_requests (entity_type, entity_id, tag, deduplication_key)
  WHERE deduplication_key IS NOT NULL;
CREATE INDEX holdfast_requests_by_entity ON holdfast_requests (entity_type, entity_id, sequence);
CREATE INDEX holdfast_requests_by_tag ON holdfast_requests (entity_type, tag, request_id);
CREATE INDEX holdfast_pending ON holdfast_requests (shard_id, coalesce(due_at, 0)) WHERE state = 'pending';
CREATE INDEX holdfast_answered ON holdfast_requests (entity_type, ended_at) WHERE state = 'answered';
CREATE INDEX holdfast_dead ON holdfast_requests (ended_at, request_id) WHERE state = 'dead';

CREATE TABLE holdfast_chunks (
  sequence INTEGER NOT NULL REFERENCES holdfast_requests ON DELETE CASCADE,
  chunk_index INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (sequence, chunk_index)
) STRICT, WITHOUT ROWID;

-- data: the value of a completed step, else the rest of the event as JSON.
CREATE TABLE holdfast_journal (
  entity_type TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  event TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (entity_type, execution_id, ordinal)
) STRICT, WITHOUT ROWID;

-- Values as JSON, so that 5 is not "5".
CREATE TABLE holdfast_attributes (
  entity_type TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (entity_type, execution_id, name)
) STRICT, WITHOUT ROWID;
`,
];

/** Runs in the caller's transaction, which has the right to write. @throws {ConfigError} a later release made the tables */
export function migrate(connection: SqliteConnection): void {
  connection.exec("CREATE TABLE IF NOT EXISTS holdfast_migrations (version INTEGER PRIMARY KEY) STRICT");
  const row = connection.get<{ version: number | null }>(
    "SELECT max(version) AS version FROM holdfast_migrations",
  );
  const version = row?.version ?? 0;
  if (version > MIGRATIONS.length) {
    throw new ConfigError({
      option: "storage.path",
      got: `a file of version ${version}`,
      takes: `a file of version ${MIGRATIONS.length} or older`,
      hint: "A later release of this adapter has migrated it: deploy that one.",
    });
  }
  for (const [index, script] of MIGRATIONS.entries()) {
    if (index < version) continue;
    connection.exec(script);
    connection.run("INSERT INTO holdfast_migrations (version) VALUES (:version)", { version: index + 1 });
  }
}
