// Migration 9: fences cost a group one lock, and rows of journals are narrow. Changes two tables, and puts functions of versions
// 1 to 8 that use them in the place of the old ones, under their names: runners of those versions go on beside those of
// version 9. A call of theirs that waits for the migration goes on with the function that it began with: one that writes a
// journal fails, with nothing written, and one that claims waits for gates all the same, since a trigger does.
//
// A gate is an advisory lock of a session: its groups share it, and who claims a shard that the session has takes it alone.
// The lock on the shard's row does the same for whatever else is fenced. Who takes both takes the rows first, and who shares
// the gate locks no row: so nobody waits for one who waits for him. A gate that is taken holds up all groups of its session,
// also for other shards, for as long as a claim lasts.
//
// The journal is copied, since no table is large yet: nothing was released before. On a large one a later version will have
// to do such a thing beside the old one, step by step. From here on runners name the journal's columns, `shards.epoch` and
// the constraint journal_by_key in a statement of their own (write-statement.ts), and from version 13 on the columns of requests
// and replies: those stay for a release, as functions do.

import { claimShards, deadLetters, readJournal } from "./migration-1-functions.ts";
import { PLANNING, writeCommonGroup, writeGroup } from "./migration-1-write.ts";
import { commitStep } from "./migration-3.ts";
import { functionsOfVersion4 } from "./migration-4-functions.ts";
import { functionsOfVersion5 } from "./migration-5.ts";
import { writeStep } from "./migration-6.ts";
import { writeStepOfVersion9 } from "./migration-9-write.ts";

/** @param schema a checked identifier */
export function tablesAndFunctionsOfVersion9(schema: string): string {
  const s = `"${schema}"`;
  return [
    gates(s),
    journal(s),
    writeStepOfVersion9(s),
    claimShards(s),
    readJournal(s),
    deadLetters(s),
    writeGroup(s),
    commitStep(s),
    functionsOfVersion4(s),
    functionsOfVersion5(schema),
    writeStep(s),
    writeCommonGroup(s, 7),
    writeCommonGroup(s, 8),
  ].join("\n");
}

/** Who writes for a shard locks its row before anything else: so nobody holds what this waits for while he waits for this. */
function gates(s: string): string {
  return `
ALTER TABLE ${s}.shards ADD COLUMN gate bigint;
COMMENT ON TABLE ${s}.shards IS 'The epoch of each shard: its fencing token. A write holds its gate or its row, a claim raises it.';
COMMENT ON COLUMN ${s}.shards.gate IS 'The advisory lock under which whoever claimed it writes. Null: only its row is locked.';
CREATE FUNCTION ${s}.hold_shards_v9(p_shards text[]) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_gate bigint;
BEGIN
  -- Rows and gates are locked in one order by all, so that two who do it never wait for each other.
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards) ORDER BY e.shard_id FOR UPDATE;
  FOR v_gate IN
    SELECT DISTINCT e.gate FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards) AND e.gate IS NOT NULL ORDER BY e.gate
  LOOP
    PERFORM pg_advisory_xact_lock(v_gate);
  END LOOP;
END $fn$;
COMMENT ON FUNCTION ${s}.hold_shards_v9 IS 'Waits for the fenced writes of these shards, and holds up new ones until the end of the transaction.';
CREATE FUNCTION ${s}.wait_for_gate_v9() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
  PERFORM pg_advisory_xact_lock(OLD.gate);
  RETURN NEW;
END $fn$;
COMMENT ON FUNCTION ${s}.wait_for_gate_v9 IS 'No epoch is raised beside a write under the gate, whoever raises it.';
CREATE TRIGGER wait_for_gate BEFORE UPDATE OF epoch ON ${s}.shards FOR EACH ROW
  WHEN (OLD.gate IS NOT NULL) EXECUTE FUNCTION ${s}.wait_for_gate_v9();
CREATE FUNCTION ${s}.refuse_fence_v9(p_epoch bigint) RETURNS boolean LANGUAGE plpgsql AS $fn$
BEGIN
  RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(p_epoch::text, '');
END $fn$;
COMMENT ON FUNCTION ${s}.refuse_fence_v9 IS 'Ends the transaction of a write whose shard is at this epoch, and not at its own.';
CREATE FUNCTION ${s}.claim_shards_v9(p_shards text[], p_gate bigint) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_new text[]; v_old text[]; v_epochs json;
BEGIN
  WITH made AS (
    INSERT INTO ${s}.shards (shard_id, epoch, gate)
    SELECT DISTINCT t.shard_id COLLATE "C", 1, p_gate FROM unnest(p_shards) AS t (shard_id) ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING shards.shard_id
  ) SELECT coalesce(array_agg(m.shard_id), '{}') INTO v_new FROM made m;
  v_old := ARRAY(SELECT DISTINCT t.shard_id FROM unnest(p_shards) AS t (shard_id) WHERE t.shard_id <> ALL (v_new));
  PERFORM ${s}.hold_shards_v9(v_old);
  UPDATE ${s}.shards e SET epoch = e.epoch + 1, gate = p_gate WHERE e.shard_id = ANY (v_old);
  SELECT json_object_agg(e.shard_id, e.epoch) INTO v_epochs FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards);
  RETURN v_epochs::text;
END $fn$;`;
}

/**
 * A journal is found by a key of 16 bytes, the beginning of a hash that is hard to meet twice, in the place of the execution's
 * type and id: those took a third of a row and two thirds of its index. Only entries that a trigger has to file under the
 * execution have it beside. journal-key.ts makes the same keys where it has no request's id.
 */
function journal(s: string): string {
  return `
CREATE FUNCTION ${s}.journal_key_v9(p_type text, p_execution text) RETURNS uuid LANGUAGE sql STABLE AS $fn$
  SELECT encode(substring(sha256(convert_to(p_type || '/' || p_execution, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid
$fn$;
CREATE FUNCTION ${s}.journal_execution_v9(p_type text, p_execution text, p_kind text, p_event text) RETURNS text
LANGUAGE sql IMMUTABLE AS $fn$
  SELECT CASE WHEN p_kind = 'attributes' AND p_event = 'completed' THEN p_type || '/' || p_execution END
$fn$;

LOCK TABLE ${s}.journal IN ACCESS EXCLUSIVE MODE;
ALTER TABLE ${s}.journal RENAME TO journal_v1;
CREATE TABLE ${s}.journal (
  key uuid NOT NULL,
  ordinal integer NOT NULL,
  position integer NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  event text NOT NULL,
  data text NOT NULL,
  execution text COLLATE "C",
  CONSTRAINT journal_by_key PRIMARY KEY (key, ordinal)
);
COMMENT ON TABLE ${s}.journal IS 'What executions have done, each under its journal_keys_v12. data: the value of a completed step, else JSON.';
INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
  SELECT ${s}.journal_key_v9(j.entity_type, j.execution_id), j.ordinal, j.position, j.kind, j.name, j.event, j.data,
    ${s}.journal_execution_v9(j.entity_type, j.execution_id, j.kind, j.event) FROM ${s}.journal_v1 j;
DROP TABLE ${s}.journal_v1;

DROP FUNCTION ${s}.keep_attributes_v4();
CREATE FUNCTION ${s}.keep_attributes_v9() RETURNS trigger LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_type text := split_part(NEW.execution, '/', 1); v_execution text := substr(NEW.execution, length(v_type) + 2);
BEGIN
  INSERT INTO ${s}.attributes (entity_type, execution_id, name, value)
    SELECT v_type, v_execution, e.key, e.value::text FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) <> 'null'
    ON CONFLICT (entity_type, execution_id, name) DO UPDATE SET value = excluded.value;
  DELETE FROM ${s}.attributes a
    WHERE a.entity_type = v_type AND a.execution_id = v_execution AND a.name = ANY (ARRAY(
      SELECT e.key FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) = 'null'));
  RETURN NULL;
END $fn$;
CREATE TRIGGER keep_attributes AFTER INSERT ON ${s}.journal FOR EACH ROW
  WHEN (NEW.execution IS NOT NULL) EXECUTE FUNCTION ${s}.keep_attributes_v9();`;
}
