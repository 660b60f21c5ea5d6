// Migration 4: the functions that read, trim, reopen and forget executions.

import { entriesOf, usedKeys } from "./migration-1-functions.ts";
import { PLANNING } from "./migration-1-write.ts";

/** Migrations 9 and 12 apply them again. @param s the quoted schema */
export function functionsOfVersion4(s: string): string {
  return [readExecution(s), trimExecution(s), reopenExecution(s), forgetAnswered(s), sweepOfVersion2(s)].join(
    "\n",
  );
}

/**
 * The journal, and then the inbox in rows without an ordinal: of one moment, since a stable function sees what its caller does.
 *
 * OFFSET 0 keeps the bound out of the way of the plan: requests are found by their execution, never by their sequences.
 */
function readExecution(s: string): string {
  const keyed = `${s}.requests o
    WHERE o.entity_type = p_type AND o.entity_id = p_execution AND o.deduplication_key IS NOT NULL`;
  return `
CREATE OR REPLACE FUNCTION ${s}.read_execution_v4(p_type text, p_execution text, p_execution_tag text, p_inbox_tags text[])
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text, request_id text, tag text, payload text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${usedKeys(s)}; v_start bigint;
BEGIN
  ${entriesOf(s, "j.ordinal, j.position, j.kind, j.name, j.event, j.data, NULL, NULL, NULL")}
  SELECT min(q.sequence) INTO v_start FROM (
    SELECT o.sequence FROM ${keyed} AND o.tag = p_execution_tag OFFSET 0) q;
  IF v_start IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT NULL::int, NULL::int, NULL, NULL, NULL, NULL, q.request_id, q.tag, q.payload FROM (
    SELECT o.* FROM ${keyed} AND o.tag = ANY (p_inbox_tags) OFFSET 0) q
    WHERE q.sequence > v_start ORDER BY q.sequence;
END $fn$;`;
}

/** Adds the requests without a key to `v_old`. Planned for their type, which says whether the index of workflows' requests has them. */
export function withoutKey(s: string, ids: string): string {
  return `EXECUTE 'SELECT $1 || ARRAY(SELECT q.sequence FROM unnest(${ids}) AS t (id) CROSS JOIN LATERAL (
      SELECT o.sequence FROM ${s}.requests o WHERE o.entity_type = $2 AND o.entity_id = t.id
        AND o.deduplication_key IS NULL OFFSET 0) q)' INTO v_old`;
}

/** Forgets the requests of `v_old`, whatever became of them. */
function forgetOld(s: string): string {
  return ["pending", "chunks", "streams", "dead_letters", "replies", "requests"]
    .map((table) => `DELETE FROM ${s}.${table} o WHERE o.sequence = ANY (v_old);`)
    .join("\n  ");
}

/**
 * Beside other writes for the shard, as a write of a group is: only what was answered goes, and nobody but a reopening, which
 * holds the shard, takes an answer back. Were such a request answered once more at that moment, that reply would
 * be left without its request, and goes with the next sweep.
 */
function trimExecution(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.trim_execution_v4(
  p_shard text, p_epoch bigint, p_type text, p_execution text, p_below bigint, p_ids text[], p_before bigint
) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_keys uuid[] := ${s}.journal_keys_v12(p_type, p_execution); v_epoch bigint; v_old bigint[];
BEGIN
  SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    PERFORM ${s}.refuse_fence_v9(v_epoch);
  END IF;
  DELETE FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal < p_below;
  v_old := ARRAY(SELECT q.sequence FROM ${s}.requests q
    WHERE q.request_id = ANY (p_ids) AND q.entity_type = p_type AND q.entity_id = p_execution);
  ${withoutKey(s, "ARRAY[$3]")} USING v_old, p_type, p_execution;
  -- In one order, so that two who trim at once do not wait for each other.
  v_old := ARRAY(SELECT r.sequence FROM ${s}.replies r
    WHERE r.sequence = ANY (v_old) AND r.answered_at < p_before ORDER BY r.sequence FOR UPDATE);
  ${forgetOld(s)}
END $fn$;`;
}

/**
 * Rare and unfenced, as requeueing is: holds the shard, so that no fenced write is under way beside it, and none
 * comes between the look at the journal and the entry.
 */
function reopenExecution(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.reopen_execution_v4(p_type text, p_execution text, p_id text, p_forget int[],
  p_ordinal int, p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${s}.journal_keys_v12(p_type, p_execution); v_sequence bigint; v_shard text;
  v_key uuid := ${s}.journal_key_v12(p_type, p_execution, p_id);
BEGIN
  SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q
    WHERE q.request_id = p_id AND q.entity_type = p_type AND q.entity_id = p_execution;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  PERFORM 1 FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal >= p_ordinal LIMIT 1;
  IF FOUND THEN RETURN; END IF;
  DELETE FROM ${s}.replies r WHERE r.sequence = v_sequence AND NOT r.ok;
  IF NOT FOUND THEN RETURN; END IF;
  DELETE FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal = ANY (p_forget);
  INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
    VALUES (CASE WHEN v_key = ANY (v_keys) THEN v_key ELSE v_keys[1] END, p_ordinal, p_position, p_kind, p_name, p_event, p_data,
      ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    VALUES (v_sequence, v_shard, p_type, p_execution, 0, NULL);
  RETURN QUERY SELECT p_type, p_execution, v_shard;
END $fn$;`;
}

/**
 * Each answered request is locked, or left to whoever has it. With an execution everything goes that is known of it, in the
 * same transaction, so that a key that can be used again has no journal, attributes or signals left from before. A reply
 * that came to one of its other requests while that was forgotten has none, and goes with the next sweep.
 *
 * Old replies to the other requests of executions that go on are passed over, and may be many: one for each execution is
 * enough. So who forgets batch after batch says where the last one ended (p_from; null: nowhere). What is left before that is
 * looked for once there is less than a batch behind it.
 *
 * Executions are forgotten one by one: of a list of ids PostgreSQL may make a condition that it checks for every one there
 * is.
 *
 * Returns how many went, and when the last of them was answered.
 */
export function forgetAnsweredFrom(s: string): string {
  const old = `r.entity_type = p_type AND r.answered_at >= v_from AND r.answered_at < p_before`;
  return `
CREATE FUNCTION ${s}.forget_answered_v14(p_type text, p_before bigint, p_limit int, p_execution_tag text, p_from bigint)
RETURNS TABLE (forgotten int, last_answered_at bigint) LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_from bigint := coalesce(p_from, -9223372036854775808);
  v_old bigint[]; v_last bigint; v_executions text[]; v_execution text; v_count int;
BEGIN
  IF p_execution_tag IS NULL THEN
    SELECT array_agg(o.sequence), max(o.answered_at) INTO v_old, v_last FROM (
      SELECT r.sequence, r.answered_at FROM ${s}.replies r WHERE ${old}
        ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  ELSE
    -- Another request of the tag is no execution, and must not take the execution along.
    SELECT array_agg(o.sequence), max(o.answered_at),
        coalesce(array_agg(o.entity_id) FILTER (WHERE o.deduplication_key = p_execution_tag), '{}')
      INTO v_old, v_last, v_executions FROM (
      SELECT r.sequence, r.answered_at, q.entity_id, q.deduplication_key FROM ${s}.replies r LEFT JOIN LATERAL (
        SELECT o.tag, o.entity_id, o.deduplication_key FROM ${s}.requests o WHERE o.sequence = r.sequence OFFSET 0) q ON true
        WHERE ${old} AND (q.tag IS NULL OR q.tag = p_execution_tag)
        ORDER BY r.answered_at LIMIT p_limit FOR UPDATE OF r SKIP LOCKED) o;
  END IF;
  v_count := coalesce(cardinality(v_old), 0);
  IF v_count > 0 THEN
    IF p_execution_tag IS NOT NULL THEN
      FOREACH v_execution IN ARRAY v_executions LOOP
        DELETE FROM ${s}.journal j WHERE j.key = ANY (${s}.journal_keys_v12(p_type, v_execution));
        DELETE FROM ${s}.attributes a WHERE a.entity_type = p_type AND a.execution_id = v_execution;
        v_old := v_old || ARRAY(SELECT q.sequence FROM ${s}.requests q
          WHERE q.entity_type = p_type AND q.entity_id = v_execution AND q.deduplication_key IS NOT NULL);
      END LOOP;
      ${withoutKey(s, "$3")} USING v_old, p_type, v_executions;
    END IF;
    ${forgetOld(s).replaceAll("\n", "\n  ")}
  END IF;
  IF p_from IS NULL OR v_count >= p_limit THEN
    RETURN QUERY SELECT v_count, v_last;
  ELSE
    RETURN QUERY SELECT v_count + f.forgotten, f.last_answered_at
      FROM ${s}.forget_answered_v14(p_type, p_before, p_limit - v_count, p_execution_tag, NULL) f;
  END IF;
END $fn$;`;
}

/** What runners of versions 4 to 13 call. Migrations 7, 9, 12 and 14 apply it again. */
export function forgetAnswered(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v4(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN (SELECT f.forgotten FROM ${s}.forget_answered_v14(p_type, p_before, p_limit, p_execution_tag, NULL) f);
END $fn$;`;
}

/** What runners of versions 2 and 3 call: they know nothing of attributes and inboxes, which go all the same. */
function sweepOfVersion2(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v2(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.forget_answered_v4(p_type, p_before, p_limit, p_execution_tag);
END $fn$;`;
}
