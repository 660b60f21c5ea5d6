// Migration 1: the functions. One call is one trip and one transaction.
//
// Each statement of a function sees what was committed before that statement began, so that what follows a lock or a
// refused insert sees what the other transaction did. Their plans are kept for the life of a session, and may be made
// while the tables are empty: the settings at the end of each see to it that they are made with the indexes all the same.

const PLANNING = [
  "SET enable_seqscan = off",
  "SET enable_bitmapscan = off",
  "SET enable_hashjoin = off",
  "SET enable_mergejoin = off",
].join(" ");

/** @param schema a checked identifier */
export function functionsOfVersion1(schema: string): string {
  const s = `"${schema}"`;
  return [
    claimShards(s),
    writeGroup(s),
    readPending(s),
    lookUp(s),
    deadLetters(s),
    streams(s),
    forgetting(s),
    leases(s),
  ].join("\n");
}

/** Rows are locked in one order by all, so that two claims never wait for each other. Waits for the writes that hold a shard. */
function claimShards(s: string): string {
  return `
CREATE FUNCTION ${s}.claim_shards_v1(p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_epochs json;
BEGIN
  WITH raised AS (
    INSERT INTO ${s}.shards AS e (shard_id, epoch)
    SELECT DISTINCT t.shard_id COLLATE "C", 1 FROM unnest(p_shards) AS t (shard_id) ORDER BY 1
    ON CONFLICT (shard_id) DO UPDATE SET epoch = e.epoch + 1
    RETURNING e.shard_id, e.epoch
  ) SELECT json_object_agg(r.shard_id, r.epoch) INTO v_epochs FROM raised r;
  RETURN v_epochs::text;
END $fn$;`;
}

/**
 * Writes a group. The fences of its shards are locked first and for the rest of the transaction: a claim that came first
 * shows here, and one that comes later waits. Writes under a stale fence (by its place in p_f_*, from 1; 0 is none) are
 * left out, the others pass. In strict mode everything passes or the transaction fails: for a group of one caller, who
 * has written in it already.
 *
 * Returns JSON: "f" the current epochs, "q" the accepted ids with their sequences, "c" the ids of known streams, "r" the
 * ids whose reply was recorded.
 */
function writeGroup(s: string): string {
  return `
CREATE FUNCTION ${s}.write_group_v1(
  p_strict boolean, p_now bigint, p_f_shard text[], p_f_epoch bigint[],
  p_q_fence int[], p_q_id text[], p_q_shard text[], p_q_type text[], p_q_entity text[], p_q_tag text[], p_q_key text[],
  p_q_payload text[], p_q_headers text[], p_q_expects text[], p_q_uninterruptible boolean[], p_q_inside boolean[],
  p_q_pending_first boolean[], p_q_sender text[], p_q_deliver_at bigint[], p_q_attempts int[],
  p_u_fence int[], p_u_id text[], p_u_attempts int[], p_u_moves boolean[], p_u_deliver_at bigint[],
  p_j_fence int[], p_j_type text[], p_j_execution text[], p_j_ordinal int[], p_j_position int[], p_j_kind text[],
  p_j_name text[], p_j_event text[], p_j_data text[],
  p_c_fence int[], p_c_id text[], p_c_index int[], p_c_value text[],
  p_r_fence int[], p_r_id text[], p_r_ok boolean[], p_r_data text[],
  p_d_fence int[], p_d_id text[], p_d_attempts int[], p_d_error text[], p_d_since bigint[]
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_held boolean[]; v_replied text[] := '{}';
  v_accepted json; v_streams json; v_recorded json;
  v_given int; v_count int; v_left int;
BEGIN
  IF cardinality(p_f_shard) > 0 THEN
    WITH locked AS MATERIALIZED (
      SELECT e.shard_id, e.epoch FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) ORDER BY e.shard_id FOR SHARE
    ) SELECT array_agg(l.epoch ORDER BY f.place), array_agg(l.epoch IS NOT DISTINCT FROM f.epoch ORDER BY f.place)
      INTO v_epochs, v_held
      FROM unnest(p_f_shard, p_f_epoch) WITH ORDINALITY AS f (shard_id, epoch, place)
      LEFT JOIN locked l ON l.shard_id = f.shard_id;
    IF p_strict AND NOT (true = ALL (v_held)) THEN
      RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(v_epochs[1]::text, '');
    END IF;
  END IF;

  IF cardinality(p_q_id) > 0 THEN
    IF cardinality(p_r_id) > 0 THEN
      SELECT coalesce(array_agg(t.id), '{}') INTO v_replied
        FROM unnest(p_r_fence, p_r_id) AS t (fence, id) WHERE v_held[t.fence];
    END IF;
    WITH given AS MATERIALIZED (
      SELECT * FROM unnest(p_q_fence, p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag, p_q_key, p_q_payload, p_q_headers,
        p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender, p_q_deliver_at, p_q_attempts)
        WITH ORDINALITY AS t (fence, id, shard, type, entity, tag, key, payload, headers, expects, uninterruptible, inside,
          pending_first, sender, deliver_at, attempts, place)
        WHERE t.fence = 0 OR v_held[t.fence]
    ), accepted AS (
      INSERT INTO ${s}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers,
        expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at)
      SELECT g.id, g.shard, g.type, g.entity, g.tag, g.key, g.payload, g.headers, g.expects, g.uninterruptible, g.inside,
        g.pending_first, g.sender, g.deliver_at FROM given g ORDER BY g.place
      ON CONFLICT DO NOTHING
      RETURNING requests.sequence, requests.request_id
    ), queued AS (
      INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
      SELECT a.sequence, g.shard, g.type, g.entity, g.attempts, g.deliver_at
        FROM accepted a JOIN given g ON g.id = a.request_id
        WHERE NOT (a.request_id = ANY (v_replied))
    ) SELECT json_object_agg(a.request_id, a.sequence) INTO v_accepted FROM accepted a;
  END IF;

  IF cardinality(p_u_id) > 0 THEN
    UPDATE ${s}.pending p
      SET attempts = t.attempts, deliver_at = CASE WHEN t.moves THEN t.deliver_at ELSE p.deliver_at END
      FROM unnest(p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at) AS t (fence, id, attempts, moves, deliver_at)
      JOIN ${s}.requests q ON q.request_id = t.id
      WHERE p.sequence = q.sequence AND v_held[t.fence];
  END IF;

  IF cardinality(p_j_type) > 0 THEN
    INSERT INTO ${s}.journal (entity_type, execution_id, ordinal, position, kind, name, event, data)
      SELECT t.type, t.execution, t.ordinal, t.position, t.kind, t.name, t.event, t.data
        FROM unnest(p_j_fence, p_j_type, p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data)
          WITH ORDINALITY AS t (fence, type, execution, ordinal, position, kind, name, event, data, place)
        WHERE v_held[t.fence] ORDER BY t.place
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF p_strict AND v_count < cardinality(p_j_type) THEN
      RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
    END IF;
  END IF;

  IF cardinality(p_c_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.index, t.value, t.place
        FROM unnest(p_c_fence, p_c_id, p_c_index, p_c_value) WITH ORDINALITY AS t (fence, id, index, value, place)
        JOIN ${s}.requests q ON q.request_id = t.id WHERE v_held[t.fence]
    ), stream AS (
      INSERT INTO ${s}.streams AS o (sequence, saved, acknowledged)
      SELECT g.sequence, max(g.index) + 1, 0 FROM given g GROUP BY g.sequence ORDER BY g.sequence
      ON CONFLICT (sequence) DO UPDATE SET saved = greatest(o.saved, excluded.saved)
      RETURNING o.sequence, o.acknowledged
    ), kept AS (
      INSERT INTO ${s}.chunks (sequence, index, value)
      SELECT g.sequence, g.index, g.value FROM given g JOIN stream o ON o.sequence = g.sequence
        WHERE g.index >= o.acknowledged ORDER BY g.place
      ON CONFLICT DO NOTHING
    ) SELECT json_agg(DISTINCT g.id) INTO v_streams FROM given g;
  END IF;

  IF cardinality(p_r_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, q.entity_type, t.id, t.ok, t.data
        FROM unnest(p_r_fence, p_r_id, p_r_ok, p_r_data) WITH ORDINALITY AS t (fence, id, ok, data, place)
        JOIN ${s}.requests q ON q.request_id = t.id WHERE v_held[t.fence] ORDER BY t.place
    ), gone AS (
      DELETE FROM ${s}.pending p USING given g WHERE p.sequence = g.sequence RETURNING p.sequence
    ), recorded AS (
      INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
      SELECT g.sequence, g.entity_type, g.ok, g.data, p_now FROM given g ON CONFLICT DO NOTHING RETURNING replies.sequence
    ) SELECT json_agg(g.id), count(*), (SELECT count(*) FROM gone) INTO v_recorded, v_count, v_left
        FROM recorded r JOIN given g ON g.sequence = r.sequence;
    IF v_left < v_count THEN
      -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
      DELETE FROM ${s}.dead_letters d USING ${s}.requests q WHERE q.request_id = ANY (p_r_id) AND d.sequence = q.sequence
        AND EXISTS (SELECT 1 FROM ${s}.replies r WHERE r.sequence = d.sequence);
    END IF;
    IF p_strict AND v_count < cardinality(p_r_id) THEN
      RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
    END IF;
  END IF;

  IF cardinality(p_d_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.attempts, t.error, t.since
        FROM unnest(p_d_fence, p_d_id, p_d_attempts, p_d_error, p_d_since) AS t (fence, id, attempts, error, since)
        JOIN ${s}.requests q ON q.request_id = t.id WHERE v_held[t.fence]
    ), gone AS (
      DELETE FROM ${s}.pending p USING given g WHERE p.sequence = g.sequence RETURNING p.sequence
    ) INSERT INTO ${s}.dead_letters (sequence, request_id, attempts, error, dead_since)
        SELECT g.sequence, g.id, g.attempts, g.error, g.since FROM gone JOIN given g ON g.sequence = gone.sequence;
  END IF;

  RETURN json_build_object('f', v_epochs, 'q', v_accepted, 'c', v_streams, 'r', v_recorded)::text;
END $fn$;`;
}

/** Due requests in the order of sequences, at most one more than the limit; then one row without a sequence, whose deliver_at is the next due time. */
function readPending(s: string): string {
  const free = `p.sequence NOT IN (SELECT unnest(p_held))
      AND (p.entity_type, p.entity_id) NOT IN (SELECT t.type, t.id FROM unnest(p_full_types, p_full_ids) AS t (type, id))`;
  return `
CREATE FUNCTION ${s}.read_pending_v1(
  p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]
) RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT f.sequence, f.attempts FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id = s.shard_id AND p.deliver_at IS NULL AND ${free} ORDER BY p.sequence LIMIT p_limit + 1)
      UNION ALL
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id = s.shard_id AND p.deliver_at <= p_now AND ${free} ORDER BY p.sequence LIMIT p_limit + 1)
    ) f ORDER BY f.sequence LIMIT p_limit + 1
  )
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM found f JOIN ${s}.requests q ON q.sequence = f.sequence ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, min(n.deliver_at)
    FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = s.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n;
END $fn$;`;
}

/** What is known of requests, by id or by key. The payload is read of dead letters only. */
function lookUp(s: string): string {
  const columns = `q.sequence, p.attempts, p.deliver_at, r.ok, r.data, d.attempts, d.error, d.dead_since, q.request_id,
    q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, CASE WHEN d.sequence IS NOT NULL THEN q.payload END,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at`;
  const joins = `LEFT JOIN ${s}.pending p ON p.sequence = q.sequence LEFT JOIN ${s}.replies r ON r.sequence = q.sequence
      LEFT JOIN ${s}.dead_letters d ON d.sequence = q.sequence`;
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
END $fn$;
CREATE FUNCTION ${s}.read_journal_v1(p_type text, p_execution text)
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT j.ordinal, j.position, j.kind, j.name, j.event, j.data FROM ${s}.journal j
    WHERE j.entity_type = p_type AND j.execution_id = p_execution ORDER BY j.ordinal;
END $fn$;`;
}

/** Requeueing and dropping are rare and unfenced: they take the shard's row alone, so that no fenced write is under way beside them. */
function deadLetters(s: string): string {
  const lock = `SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = v_shard FOR UPDATE;
  DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;`;
  return `
CREATE FUNCTION ${s}.list_dead_letters_v1(p_limit int, p_after text)
RETURNS TABLE (dead_attempts int, error text, dead_since bigint, request_id text, shard_id text, entity_type text,
  entity_id text, tag text, deduplication_key text, payload text, headers text, expects text, uninterruptible boolean,
  from_inside boolean, read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_since bigint := NULL;
BEGIN
  SELECT d.dead_since INTO v_since FROM ${s}.requests q JOIN ${s}.dead_letters d ON d.sequence = q.sequence
    WHERE q.request_id = p_after;
  RETURN QUERY SELECT d.attempts, d.error, d.dead_since, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag,
    q.deduplication_key, q.payload, q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender,
    q.deliver_at
    FROM (SELECT * FROM ${s}.dead_letters o WHERE v_since IS NULL OR (o.dead_since, o.request_id) > (v_since, p_after)
      ORDER BY o.dead_since, o.request_id LIMIT p_limit) d
    JOIN ${s}.requests q ON q.sequence = d.sequence ORDER BY d.dead_since, d.request_id;
END $fn$;
CREATE FUNCTION ${s}.requeue_dead_letter_v1(p_id text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock}
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, 0, NULL FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT q.entity_type, q.entity_id, q.shard_id FROM ${s}.requests q WHERE q.sequence = v_sequence;
END $fn$;
CREATE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text) LANGUAGE plpgsql ${PLANNING} AS $fn$
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
  SELECT o.sequence, o.saved INTO v_sequence, v_saved
    FROM ${s}.requests q JOIN ${s}.streams o ON o.sequence = q.sequence WHERE q.request_id = p_id;
  RETURN QUERY SELECT c.index, c.value, NULL::int FROM ${s}.chunks c
    WHERE c.sequence = v_sequence AND c.index >= p_from AND c.index < v_saved ORDER BY c.index;
  RETURN QUERY SELECT NULL::int, NULL, coalesce(v_saved, 0);
END $fn$;
CREATE FUNCTION ${s}.acknowledge_chunks_v1(p_id text, p_up_to int) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_end int;
BEGIN
  UPDATE ${s}.streams o SET acknowledged = greatest(o.acknowledged, least(p_up_to, o.saved))
    FROM ${s}.requests q WHERE q.request_id = p_id AND o.sequence = q.sequence
    RETURNING o.sequence, o.acknowledged INTO v_sequence, v_end;
  DELETE FROM ${s}.chunks c WHERE c.sequence = v_sequence AND c.index < v_end;
END $fn$;`;
}

function forgetting(s: string): string {
  return `
CREATE FUNCTION ${s}.forget_answered_v1(p_type text, p_before bigint, p_limit int) RETURNS int
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_old bigint[];
BEGIN
  SELECT array_agg(o.sequence) INTO v_old FROM (
    SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = p_type AND r.answered_at < p_before
      ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  IF v_old IS NULL THEN RETURN 0; END IF;
  DELETE FROM ${s}.chunks c WHERE c.sequence = ANY (v_old);
  DELETE FROM ${s}.streams o WHERE o.sequence = ANY (v_old);
  DELETE FROM ${s}.requests q WHERE q.sequence = ANY (v_old);
  DELETE FROM ${s}.replies r WHERE r.sequence = ANY (v_old);
  RETURN cardinality(v_old);
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
