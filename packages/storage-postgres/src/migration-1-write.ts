// Migration 1: the function through which every fenced write may go. write_group_v8 calls it, so it stays as long as that.

/**
 * For the head of a function. Its plans are made once in a session, maybe while the tables are empty, and are kept: with
 * these they use the indexes all the same. Large tables are therefore joined nowhere: their rows are looked up one by one,
 * in a LATERAL subquery that OFFSET 0 keeps as it is, or through an array.
 */
export const PLANNING: string = [
  "SET plan_cache_mode = force_generic_plan",
  "SET enable_seqscan = off",
  "SET enable_bitmapscan = off",
  "SET enable_mergejoin = off",
].join(" ");

/** Parameters of the functions that write groups: when it is, the fences, and then a column each of requests, updates and entries. */
export const UNTIL_JOURNAL: string = `p_now bigint, p_f_shard text[], p_f_epoch bigint[],
  p_q_fence int[], p_q_id text[], p_q_shard text[], p_q_type text[], p_q_entity text[], p_q_tag text[], p_q_key text[],
  p_q_payload text[], p_q_headers text[], p_q_expects text[], p_q_uninterruptible boolean[], p_q_inside boolean[],
  p_q_pending_first boolean[], p_q_sender text[], p_q_deliver_at bigint[], p_q_attempts int[],
  p_u_fence int[], p_u_id text[], p_u_attempts int[], p_u_moves boolean[], p_u_deliver_at bigint[],
  p_j_fence int[], p_j_type text[], p_j_execution text[], p_j_ordinal int[], p_j_position int[], p_j_kind text[],
  p_j_name text[], p_j_event text[], p_j_data text[]`;
export const OF_REPLIES = "p_r_fence int[], p_r_id text[], p_r_ok boolean[], p_r_data text[]";

/**
 * Writes a group. The fences of its shards are locked first and for the rest of the transaction: a claim that came first
 * shows here, and one that comes later waits. Writes under a stale fence (by its place in p_f_*, from 1; 0 is none) are
 * left out, the others pass. In strict mode everything passes or the transaction fails: for a group of one caller, who
 * has written in it already.
 *
 * Returns JSON: "f" the current epochs, "q" the accepted ids with their sequences, "c" the ids of known streams, "r" the
 * ids whose reply was recorded.
 */
export function writeGroup(s: string): string {
  const lookedUp = lookedUpIn(s);
  return `
CREATE FUNCTION ${s}.write_group_v1(
  p_strict boolean, ${UNTIL_JOURNAL},
  p_c_fence int[], p_c_id text[], p_c_index int[], p_c_value text[],
  ${OF_REPLIES},
  p_d_fence int[], p_d_id text[], p_d_attempts int[], p_d_error text[], p_d_since bigint[]
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_held boolean[]; v_replied text[] := '{}';
  v_accepted json; v_streams json; v_recorded json;
  v_sequences bigint[]; v_types text[]; v_ids text[]; v_oks boolean[]; v_texts text[];
  v_attempts int[]; v_moves boolean[]; v_times bigint[]; v_count int; v_left int;
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

  ${updatePending(s, "WHERE v_held[t.fence]")}

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
        ${lookedUp} WHERE v_held[t.fence]
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
    SELECT array_agg(q.sequence ORDER BY t.place), array_agg(q.entity_type ORDER BY t.place), array_agg(t.id ORDER BY t.place),
        array_agg(t.ok ORDER BY t.place), array_agg(t.data ORDER BY t.place)
      INTO v_sequences, v_types, v_ids, v_oks, v_texts
      FROM unnest(p_r_fence, p_r_id, p_r_ok, p_r_data) WITH ORDINALITY AS t (fence, id, ok, data, place)
      ${lookedUp} WHERE v_held[t.fence];
    DELETE FROM ${s}.pending p WHERE p.sequence = ANY (v_sequences);
    GET DIAGNOSTICS v_left = ROW_COUNT;
    WITH recorded AS (
      INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
      SELECT t.sequence, t.type, t.ok, t.data, p_now FROM unnest(v_sequences, v_types, v_oks, v_texts) AS t (sequence, type, ok, data)
      ON CONFLICT DO NOTHING RETURNING replies.sequence
    ) SELECT json_agg(v_ids[array_position(v_sequences, r.sequence)]), count(*) INTO v_recorded, v_count FROM recorded r;
    IF v_left < v_count THEN
      -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
      DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
    END IF;
    IF p_strict AND v_count < cardinality(p_r_id) THEN
      RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
    END IF;
  END IF;

  IF cardinality(p_d_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.attempts, t.error, t.since
        FROM unnest(p_d_fence, p_d_id, p_d_attempts, p_d_error, p_d_since) AS t (fence, id, attempts, error, since)
        ${lookedUp} WHERE v_held[t.fence]
    ), gone AS (
      DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
    ) INSERT INTO ${s}.dead_letters (sequence, request_id, attempts, error, dead_since)
        SELECT g.sequence, g.id, g.attempts, g.error, g.since FROM gone JOIN given g ON g.sequence = gone.sequence;
  END IF;

  RETURN json_build_object('f', v_epochs, 'q', v_accepted, 'c', v_streams, 'r', v_recorded)::text;
END $fn$;`;
}

/** Each request of `t`, which has its id, as `q`. */
export function lookedUpIn(s: string): string {
  return `CROSS JOIN LATERAL (
        SELECT o.sequence, o.entity_type FROM ${s}.requests o WHERE o.request_id = t.id OFFSET 0) q`;
}

/** Writes the counts of attempts and the due times of p_u_*, of those of `t` that pass. */
export function updatePending(s: string, where: string): string {
  return `IF cardinality(p_u_id) > 0 THEN
    SELECT array_agg(q.sequence), array_agg(t.attempts), array_agg(t.moves), array_agg(t.deliver_at)
      INTO v_sequences, v_attempts, v_moves, v_times
      FROM unnest(p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at) AS t (fence, id, attempts, moves, deliver_at)
      ${lookedUpIn(s)} ${where};
    UPDATE ${s}.pending p
      SET attempts = v_attempts[array_position(v_sequences, p.sequence)],
        deliver_at = CASE WHEN v_moves[array_position(v_sequences, p.sequence)]
          THEN v_times[array_position(v_sequences, p.sequence)] ELSE p.deliver_at END
      WHERE p.sequence = ANY (v_sequences);
  END IF;`;
}
