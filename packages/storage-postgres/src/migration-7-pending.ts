// Migration 7: the function that reads pending requests.
//
// It does what read_pending_v1 does, and reads little more than it returns. That one took a whole page of each shard, to
// return one of all; and where most of what was pending was on few shards, PostgreSQL took the primary key for the order of
// sequences and read everything once for each of the others: 1.2 s for a page out of 10,000 with 300 shards.

import { PLANNING } from "./migration-1-write.ts";

/**
 * Due requests in the order of sequences, at most one more than the limit; then one row without a sequence, whose
 * deliver_at is the next due time.
 *
 * A few are taken of each shard, and more only where those might not be the first ones: where a shard of which not all were
 * taken has fewer than are asked for up to its last one. The condition on the shard is a range, so that its order is not
 * taken for granted, and only the index by shard and sequence has the order that is asked for.
 *
 * @param s the quoted schema
 */
export function readPending(s: string): string {
  const free = `p.sequence NOT IN (SELECT unnest(p_held))
            AND (p.entity_type, p.entity_id) NOT IN (SELECT f.type, f.id FROM unnest(p_full_types, p_full_ids) AS f (type, id))`;
  const shards = `unnest(p_shards) WITH ORDINALITY AS t (shard_id, place)`;
  return `
CREATE FUNCTION ${s}.read_pending_v7(
  p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]
) RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_each int := p_limit / cardinality(p_shards) * 4 + 4; v_cut bigint; v_sequences bigint[]; v_attempts int[];
BEGIN
  LOOP
    v_each := least(v_each, p_limit + 1);
    WITH found AS MATERIALIZED (
      SELECT t.place, f.sequence, f.attempts FROM ${shards} CROSS JOIN LATERAL (
        SELECT p.sequence, p.attempts FROM ${s}.pending p
          WHERE p.shard_id >= t.shard_id AND p.shard_id <= t.shard_id AND p.deliver_at IS NULL AND ${free}
          ORDER BY p.shard_id, p.sequence LIMIT v_each) f
      UNION ALL
      SELECT -t.place, f.sequence, f.attempts FROM ${shards} CROSS JOIN LATERAL (
        SELECT o.sequence, o.attempts FROM (
          SELECT p.sequence, p.attempts FROM ${s}.pending p
            WHERE p.shard_id = t.shard_id AND p.deliver_at <= p_now AND ${free} OFFSET 0) o
          ORDER BY o.sequence LIMIT v_each) f
    ), cut AS (
      SELECT min(c.last) AS sequence
        FROM (SELECT max(f.sequence) AS last FROM found f GROUP BY f.place HAVING count(*) = v_each) c
    ) SELECT array_agg(f.sequence ORDER BY f.sequence), array_agg(f.attempts ORDER BY f.sequence), max(c.sequence)
      INTO v_sequences, v_attempts, v_cut
      FROM found f CROSS JOIN cut c WHERE f.sequence <= c.sequence OR c.sequence IS NULL;
    EXIT WHEN v_cut IS NULL OR v_each > p_limit OR cardinality(v_sequences) > p_limit;
    v_each := v_each * 8;
  END LOOP;
  RETURN QUERY
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM (SELECT * FROM unnest(v_sequences, v_attempts) AS t (sequence, attempts) LIMIT p_limit + 1) f
    CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q
    ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, min(n.deliver_at)
    FROM unnest(p_shards) AS t (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = t.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n;
END $fn$;`;
}
