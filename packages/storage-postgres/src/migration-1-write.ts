// Migration 1: the function through which every fenced write of runners of versions 1 to 8 may go. Since version 9 it is
// write_group_any_v9 that writes.

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

/** Parameters of the functions that wrote groups: when it is, the fences, and then a column each of requests, updates and entries. */
const UNTIL_JOURNAL = `p_now bigint, p_f_shard text[], p_f_epoch bigint[],
  p_q_fence int[], p_q_id text[], p_q_shard text[], p_q_type text[], p_q_entity text[], p_q_tag text[], p_q_key text[],
  p_q_payload text[], p_q_headers text[], p_q_expects text[], p_q_uninterruptible boolean[], p_q_inside boolean[],
  p_q_pending_first boolean[], p_q_sender text[], p_q_deliver_at bigint[], p_q_attempts int[],
  p_u_fence int[], p_u_id text[], p_u_attempts int[], p_u_moves boolean[], p_u_deliver_at bigint[],
  p_j_fence int[], p_j_type text[], p_j_execution text[], p_j_ordinal int[], p_j_position int[], p_j_kind text[],
  p_j_name text[], p_j_event text[], p_j_data text[]`;
const OF_REPLIES = "p_r_fence int[], p_r_id text[], p_r_ok boolean[], p_r_data text[]";

/** Migration 9 applies it again. @param s the quoted schema */
export function writeGroup(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v1(
  p_strict boolean, ${UNTIL_JOURNAL},
  p_c_fence int[], p_c_id text[], p_c_index int[], p_c_value text[],
  ${OF_REPLIES},
  p_d_fence int[], p_d_id text[], p_d_attempts int[], p_d_error text[], p_d_since bigint[]
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_keys uuid[]; v_executions text[];
BEGIN
  SELECT coalesce(array_agg(${s}.journal_key_v9(t.type, t.execution) ORDER BY t.place), '{}'),
      coalesce(array_agg(${s}.journal_execution_v9(t.type, t.execution, t.kind, t.event) ORDER BY t.place), '{}')
    INTO v_keys, v_executions
    FROM unnest(p_j_type, p_j_execution, p_j_kind, p_j_event) WITH ORDINALITY AS t (type, execution, kind, event, place);
  RETURN ${s}.write_group_any_v9(p_strict, NULL, p_now, p_f_shard, p_f_epoch, p_q_fence, p_q_id, p_q_shard, p_q_type,
    p_q_entity, p_q_tag, p_q_key, p_q_payload, p_q_headers, p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first,
    p_q_sender, p_q_deliver_at, p_q_attempts, p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at, p_j_fence, v_keys,
    p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data, v_executions, p_c_fence, p_c_id, p_c_index, p_c_value,
    p_r_fence, p_r_id, p_r_ok, p_r_data, p_d_fence, p_d_id, p_d_attempts, p_d_error, p_d_since);
END $fn$;`;
}

/** One of the functions that wrote groups of which everything passes. Migration 9 applies them again. */
export function writeCommonGroup(s: string, version: 7 | 8): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v${version}(
  ${UNTIL_JOURNAL},
  ${OF_REPLIES}
) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.write_group_v1(false, p_now, p_f_shard, p_f_epoch, p_q_fence, p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag,
    p_q_key, p_q_payload, p_q_headers, p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender,
    p_q_deliver_at, p_q_attempts, p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at, p_j_fence, p_j_type,
    p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data, '{}', '{}', '{}', '{}',
    p_r_fence, p_r_id, p_r_ok, p_r_data, '{}', '{}', '{}', '{}', '{}');
END $fn$;`;
}
