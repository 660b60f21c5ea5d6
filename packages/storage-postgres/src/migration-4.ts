// Migration 4: executions are listed, and found by their attributes. Adds a table, indexes, a trigger and functions, and takes
// nothing away: runners of versions 1 to 3 go on beside those of version 4. What those of 2 and 3 sweep with takes along what
// is new here, too.
//
// Indexes are made here, in the migration's transaction, since no table is large yet: nothing was released before. On a large
// one those who write would wait for as long as an index takes, and fail at their lock_timeout with nothing written; a later
// version will have to make its indexes with CONCURRENTLY, in a step of its own.

import { functionsOfVersion4 } from "./migration-4-functions.ts";
import { listingOfVersion4 } from "./migration-4-listing.ts";
import { PLANNING } from "./migration-1-write.ts";

/**
 * The entity types of workflows, as a condition that follows from `entity_type = 'workflow:Name'` for the planner, so that
 * no query has to repeat it.
 */
const OF_WORKFLOWS = `entity_type >= 'workflow:' AND entity_type < 'workflow;'`;

/** @param schema a checked identifier */
export function tablesAndFunctionsOfVersion4(schema: string): string {
  const s = `"${schema}"`;
  return [locks(s), attributes(s), indexes(s), functionsOfVersion4(s), listingOfVersion4(s)].join("\n");
}

/**
 * Who writes for a shard locks its row before anything else, and who writes for none locks these tables in the order of the
 * second statement: so nobody holds what this waits for while he waits for this.
 */
function locks(s: string): string {
  return `
LOCK TABLE ${s}.shards IN EXCLUSIVE MODE;
LOCK TABLE ${s}.journal, ${s}.requests, ${s}.pending, ${s}.replies IN SHARE ROW EXCLUSIVE MODE;`;
}

/**
 * What listings filter by. A trigger keeps it up to date, so that each way of writing the journal does, in the same
 * transaction: the group commit, a handler's transaction, and the functions of the release before. Entries that were there
 * already are not inserted, and change nothing.
 *
 * Values are compared as the texts that JSON.stringify makes, which json_each hands over as they are: 5 is not "5".
 */
function attributes(s: string): string {
  return `
CREATE TABLE ${s}.attributes (
  entity_type text COLLATE "C" NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (entity_type, execution_id, name)
);
COMMENT ON TABLE ${s}.attributes IS 'What executions are found by, as JSON. Follows the journal.';
CREATE INDEX attributes_by_value ON ${s}.attributes (entity_type, name, value);
CREATE FUNCTION ${s}.keep_attributes_v4() RETURNS trigger LANGUAGE plpgsql ${PLANNING} AS $fn$
BEGIN
  INSERT INTO ${s}.attributes (entity_type, execution_id, name, value)
    SELECT NEW.entity_type, NEW.execution_id, e.key, e.value::text FROM json_each(NEW.data::json) e
      WHERE json_typeof(e.value) <> 'null'
    ON CONFLICT (entity_type, execution_id, name) DO UPDATE SET value = excluded.value;
  DELETE FROM ${s}.attributes a
    WHERE a.entity_type = NEW.entity_type AND a.execution_id = NEW.execution_id AND a.name = ANY (ARRAY(
      SELECT e.key FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) = 'null'));
  RETURN NULL;
END $fn$;
CREATE TRIGGER keep_attributes AFTER INSERT ON ${s}.journal FOR EACH ROW
  WHEN (NEW.kind = 'attributes' AND NEW.event = 'completed') EXECUTE FUNCTION ${s}.keep_attributes_v4();`;
}

/** Executions by age, those that go on, those that failed, and what reached an execution without a deduplication key. */
function indexes(s: string): string {
  return `
CREATE INDEX requests_of_executions ON ${s}.requests (entity_type, request_id) WHERE tag = 'execute';
CREATE INDEX requests_without_key ON ${s}.requests (entity_type, entity_id)
  WHERE deduplication_key IS NULL AND ${OF_WORKFLOWS};
CREATE INDEX pending_executions ON ${s}.pending (entity_type, deliver_at) WHERE ${OF_WORKFLOWS};
CREATE INDEX replies_failed ON ${s}.replies (entity_type, sequence) WHERE NOT ok AND ${OF_WORKFLOWS};`;
}
