// Migration 1: the functions that claim, read and forget. One call is one trip and one transaction.
//
// Each statement of a function sees what was committed before that statement began, so that what follows a lock or a
// refused insert sees what the other transaction did.

import { PLANNING, writeGroup } from "./migration-1-write.ts";

/** @param schema a checked identifier */
export function functionsOfVersion1(schema: string): string {
  const s = `"${schema}"`;
  return [
    claimShards(s),
    writeGroup(s),
    readPending(s),
    lookUp(s),
    readJournal(s),
    listDeadLetters(s),
    deadLetters(s),
    streams(s),
    forgetting(s),
    leases(s),
  ].join("\n");
}

/** Migration 9 applies it again: it claims for a session that has no gate. */
export function claimShards(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.claim_shards_v1(p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.claim_shards_v9(p_shards, NULL);
END $fn$;`;
}

/**
 * Due requests in the order of sequences, at most one more than the limit; then one row without a sequence, whose
 * deliver_at is the next due time. Migration 7 applies it again.
 */
export function readPending(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.read_pending_v1(${OF_READING})
RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    ${foundOnShards(s)}
  )
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM found f CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q
    ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, (${nextDue(s)});
END $fn$;`;
}

/** The parameters of those that read what is due. */
export const OF_READING =
  "p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]";
/** Whether the caller asks for `p`: it is none that he holds, and of no entity that takes no more. */
export const IS_FREE = `p.sequence NOT IN (SELECT unnest(p_held))
      AND (p.entity_type, p.entity_id) NOT IN (SELECT t.type, t.id FROM unnest(p_full_types, p_full_ids) AS t (type, id))`;

/**
 * What is due, with the attempts at it: of each shard as much as is asked for of all, and the first of that.
 *
 * The condition on the shard is a range, so that its order is not taken for granted: only the index by shard and sequence has
 * the order that is asked for. With the primary key in its place, where most of what is pending is on few shards, everything
 * is read once for each of the others: 1.2 s for a page out of 10,000 with 300 shards.
 */
export function foundOnShards(s: string): string {
  return `SELECT f.sequence, f.attempts FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id >= s.shard_id AND p.shard_id <= s.shard_id AND p.deliver_at IS NULL AND ${IS_FREE}
        ORDER BY p.shard_id, p.sequence LIMIT p_limit + 1)
      UNION ALL
      (SELECT o.sequence, o.attempts FROM (
        SELECT p.sequence, p.attempts FROM ${s}.pending p
          WHERE p.shard_id = s.shard_id AND p.deliver_at <= p_now AND ${IS_FREE} OFFSET 0) o
        ORDER BY o.sequence LIMIT p_limit + 1)
    ) f ORDER BY f.sequence LIMIT p_limit + 1`;
}

export function nextDue(s: string): string {
  return `SELECT min(n.deliver_at) FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = s.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n`;
}

/** What is known of requests, by id or by key. The payload is read of dead letters only. */
function lookUp(s: string): string {
  const columns = `q.sequence, p.attempts, p.deliver_at, r.ok, r.data, d.attempts, d.error, d.dead_since, q.request_id,
    q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, CASE WHEN d.sequence IS NOT NULL THEN q.payload END,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at`;
  const joins = ["pending p", "replies r", "dead_letters d"]
    .map((table) => table.split(" ") as [string, string])
    .map(
      ([table, as]) =>
        `LEFT JOIN LATERAL (SELECT o.* FROM ${s}.${table} o WHERE o.sequence = q.sequence OFFSET 0) ${as} ON true`,
    )
    .join("\n      ");
  const row = `TABLE (sequence bigint, attempts int, due_at bigint, ok boolean, data text, dead_attempts int, error text,
  dead_since bigint, request_id text, shard_id text, entity_type text, entity_id text, tag text, deduplication_key text,
  payload text, headers text, expects text, uninterruptible boolean, from_inside boolean, read_pending_first boolean,
  sender text, deliver_at bigint)`;
  return `
CREATE FUNCTION ${s}.look_up_v1(p_ids text[]) RETURNS ${row} LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT ${columns} FROM ${s}.requests q ${joins} WHERE q.request_id = ANY (p_ids);
END $fn$;
CREATE FUNCTION ${s}.look_up_by_key_v1(p_type text, p_entity text, p_tag text, p_key text) RETURNS ${row}
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT ${columns} FROM ${s}.requests q ${joins}
    WHERE q.entity_type = p_type AND q.entity_id = p_entity AND q.tag = p_tag AND q.deduplication_key = p_key;
END $fn$;`;
}

/** Migrations 9 and 12 apply it again. */
export function readJournal(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.read_journal_v1(p_type text, p_execution text)
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${usedKeys(s)};
BEGIN
  ${entriesOf(s, "j.ordinal, j.position, j.kind, j.name, j.event, j.data")}
END $fn$;`;
}

/**
 * Those of an execution's keys under which there are entries: one of them, but for executions that changed releases. OFFSET 0
 * keeps it from becoming a join, which could go through the whole journal.
 */
export function usedKeys(s: string): string {
  return `ARRAY(SELECT DISTINCT k.key FROM unnest(${s}.journal_keys_v12(p_type, p_execution)) AS k (key)
    WHERE EXISTS (SELECT FROM ${s}.journal j WHERE j.key = k.key OFFSET 0))`;
}

/** Returns the entries under `v_keys` in their order, which the index has where it is one key: then nothing is sorted. */
export function entriesOf(s: string, columns: string): string {
  const query = (where: string): string =>
    `RETURN QUERY SELECT ${columns} FROM ${s}.journal j WHERE ${where} ORDER BY j.ordinal;`;
  return `IF cardinality(v_keys) = 1 THEN
    ${query("j.key = v_keys[1]")}
  ELSE
    ${query("j.key = ANY (v_keys)")}
  END IF;`;
}

/**
 * The bound is one comparison, which there always is, so that the index is entered there: with an OR, for where there is none, a
 * page was read behind all that come before it. Migration 14 applies it again.
 */
export function listDeadLetters(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.list_dead_letters_v1(p_limit int, p_after text)
RETURNS TABLE (dead_attempts int, error text, dead_since bigint, request_id text, shard_id text, entity_type text,
  entity_id text, tag text, deduplication_key text, payload text, headers text, expects text, uninterruptible boolean,
  from_inside boolean, read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_since bigint;
BEGIN
  SELECT d.dead_since INTO v_since FROM ${s}.dead_letters d
    WHERE d.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_after);
  -- All come after this, the oldest first.
  v_since := coalesce(v_since, -9223372036854775808);
  RETURN QUERY SELECT d.attempts, d.error, d.dead_since, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag,
    q.deduplication_key, q.payload, q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender,
    q.deliver_at
    FROM (SELECT * FROM ${s}.dead_letters o WHERE (o.dead_since, o.request_id) > (v_since, coalesce(p_after, ''))
      ORDER BY o.dead_since, o.request_id LIMIT p_limit) d
    CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = d.sequence OFFSET 0) q
    ORDER BY d.dead_since, d.request_id;
END $fn$;`;
}

/**
 * Requeueing and dropping are rare and unfenced: they hold the shard, so that no fenced write is under way beside them. Migration 9
 * applies them again.
 */
export function deadLetters(s: string): string {
  const lock = `SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;`;
  return `
CREATE OR REPLACE FUNCTION ${s}.requeue_dead_letter_v1(p_id text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock}
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, 0, NULL FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT q.entity_type, q.entity_id, q.shard_id FROM ${s}.requests q WHERE q.sequence = v_sequence;
END $fn$;
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text) LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock}
  DELETE FROM ${s}.chunks c WHERE c.sequence = v_sequence;
  DELETE FROM ${s}.streams o WHERE o.sequence = v_sequence;
  DELETE FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT p_id;
END $fn$;`;
}

/** The kept chunks; then one row without an index that says how many were saved. */
function streams(s: string): string {
  return `
CREATE FUNCTION ${s}.read_chunks_v1(p_id text, p_from int) RETURNS TABLE (index int, value text, saved int)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_saved int;
BEGIN
  SELECT o.sequence, o.saved INTO v_sequence, v_saved FROM ${s}.streams o
    WHERE o.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_id);
  RETURN QUERY SELECT c.index, c.value, NULL::int FROM ${s}.chunks c
    WHERE c.sequence = v_sequence AND c.index >= p_from AND c.index < v_saved ORDER BY c.index;
  RETURN QUERY SELECT NULL::int, NULL, coalesce(v_saved, 0);
END $fn$;
CREATE FUNCTION ${s}.acknowledge_chunks_v1(p_id text, p_up_to int) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_end int;
BEGIN
  UPDATE ${s}.streams o SET acknowledged = greatest(o.acknowledged, least(p_up_to, o.saved))
    WHERE o.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_id)
    RETURNING o.sequence, o.acknowledged INTO v_sequence, v_end;
  DELETE FROM ${s}.chunks c WHERE c.sequence = v_sequence AND c.index < v_end;
END $fn$;`;
}

/** With an execution everything goes that is known of it, though runners of version 1 say nothing of that. Migration 12 applies it again. */
export function forgetting(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v1(p_type text, p_before bigint, p_limit int) RETURNS int
LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.forget_answered_v4(p_type, p_before, p_limit, CASE WHEN starts_with(p_type, 'workflow:') THEN 'execute' END);
END $fn$;`;
}

/**
 * A lease row of a shard stands for as long as its runner's row does, which the foreign key enforces. Runners whose time is
 * over are removed by whoever looks; one that refreshes at that moment keeps its row or learns that it is gone.
 */
function leases(s: string): string {
  const reap = `DELETE FROM ${s}.runners r WHERE r.runner_id IN (
    SELECT o.runner_id FROM ${s}.runners o WHERE o.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED)
    AND r.expires_at <= clock_timestamp();`;
  return `
CREATE FUNCTION ${s}.register_runner_v1(p_id text, p_record text, p_ttl_ms double precision) RETURNS void
LANGUAGE plpgsql AS $fn$
BEGIN
  ${reap}
  INSERT INTO ${s}.runners AS r (runner_id, record, ttl_ms, expires_at)
    VALUES (p_id, p_record, p_ttl_ms, clock_timestamp() + p_ttl_ms * interval '1 millisecond')
    ON CONFLICT (runner_id) DO UPDATE
      SET record = excluded.record, ttl_ms = excluded.ttl_ms, expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond';
END $fn$;
CREATE FUNCTION ${s}.acquire_shards_v1(p_id text, p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_held json;
BEGIN
  ${reap}
  PERFORM 1 FROM ${s}.runners r WHERE r.runner_id = p_id AND r.expires_at > clock_timestamp() FOR KEY SHARE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO ${s}.shard_leases (shard_id, runner_id)
    SELECT DISTINCT t.shard_id COLLATE "C", p_id FROM unnest(p_shards) AS t (shard_id) ORDER BY 1 ON CONFLICT DO NOTHING;
  SELECT json_agg(l.shard_id) INTO v_held FROM ${s}.shard_leases l
    WHERE l.runner_id = p_id AND l.shard_id = ANY (p_shards);
  RETURN v_held::text;
END $fn$;`;
}
