// Tables: where the handlers under test leave their effects, and the triggers that note what the library does to its own.
//
// `effects` and the like have no unique index: a double shows as a second row.

import pg from "pg";

const TABLES = `
CREATE SCHEMA faults;
CREATE TABLE faults.counters (entity_id text PRIMARY KEY, value int NOT NULL);
CREATE TABLE faults.registers (entity_id text PRIMARY KEY, value int NOT NULL);
CREATE TABLE faults.effects (
  position bigint GENERATED ALWAYS AS IDENTITY, entity_type text NOT NULL, entity_id text NOT NULL, tag text NOT NULL,
  request_id text NOT NULL, key text NOT NULL, sender text, number int, value int, due_at bigint, attempt int NOT NULL,
  shard_id text NOT NULL, epoch bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE faults.activity_effects (
  position bigint GENERATED ALWAYS AS IDENTITY, execution_id text NOT NULL, activity text NOT NULL, attempt int NOT NULL,
  sleep_ms int NOT NULL, epoch bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE faults.volatile_effects (key text NOT NULL, entity_id text NOT NULL);
CREATE TABLE faults.claims (
  position bigint GENERATED ALWAYS AS IDENTITY, shard_id text NOT NULL, epoch bigint NOT NULL
);
CREATE TABLE faults.changed_replies (sequence bigint NOT NULL, old_data text NOT NULL, new_data text NOT NULL);
`;

/** What of the library's own tables is watched, once they are there. */
const TRIGGERS = `
CREATE FUNCTION faults.note_claim() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN INSERT INTO faults.claims (shard_id, epoch) VALUES (NEW.shard_id, NEW.epoch); RETURN NULL; END $fn$;
CREATE TRIGGER note_claim AFTER INSERT OR UPDATE ON holdfast.shards FOR EACH ROW EXECUTE FUNCTION faults.note_claim();
CREATE FUNCTION faults.note_changed_reply() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN INSERT INTO faults.changed_replies VALUES (NEW.sequence, OLD.data, NEW.data); RETURN NULL; END $fn$;
CREATE TRIGGER note_changed_reply AFTER UPDATE ON holdfast.replies
  FOR EACH ROW EXECUTE FUNCTION faults.note_changed_reply();
`;

/** Runs `work` on a connection of its own: the server may be restarted at any time. */
export async function withDatabase<Result>(
  url: string,
  work: (database: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client(url);
  // A server that is stopped says so on idle connections, too.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Makes a database of this name with the tables of the handlers. Returns its URL. */
export async function createDatabase(serverUrl: string, name: string): Promise<string> {
  await withDatabase(serverUrl, (server) => server.query(`CREATE DATABASE "${name}"`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await withDatabase(url.href, (database) => database.query(TABLES));
  return url.href;
}

/** Watches the library's own tables from here on. To be called when they are there and nothing is claimed yet. */
export async function watchTables(url: string): Promise<void> {
  await withDatabase(url, (database) => database.query(TRIGGERS));
}

export async function dropDatabase(serverUrl: string, name: string): Promise<void> {
  await withDatabase(serverUrl, (server) => server.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`));
}
