// Migration 7: the function that reads pending requests.
//
// It does what read_pending_v1 does, by the index that is made for it. Where most of what was pending was on few shards,
// PostgreSQL took the primary key for the order of sequences, and read everything once for each of the others: 1.2 s for a
// page out of 10,000 with 300 shards.

import { PLANNING } from "./migration-1-write.ts";

/**
 * Due requests in the order of sequences, at most one more than the limit; then one row without a sequence, whose
 * deliver_at is the next due time.
 *
 * The condition on the shard is a range, so that its order is not taken for granted: only the index by shard and sequence has
 * the order that is asked for.
 *
 * @param s the quoted schema
 */
export function readPending(s: string): string {
  const free = `p.sequence NOT IN (SELECT unnest(p_held))
            AND (p.entity_type, p.entity_id) NOT IN (SELECT f.type, f.id FROM unnest(p_full_types, p_full_ids) AS f (type, id))`;
  return `
CREATE FUNCTION ${s}.read_pending_v7(
  p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]
) RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT f.sequence, f.attempts FROM unnest(p_shards) AS t (shard_id) CROSS JOIN LATERAL (
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id >= t.shard_id AND p.shard_id <= t.shard_id AND p.deliver_at IS NULL AND ${free}
        ORDER BY p.shard_id, p.sequence LIMIT p_limit + 1)
      UNION ALL
      (SELECT o.sequence, o.attempts FROM (
        SELECT p.sequence, p.attempts FROM ${s}.pending p
          WHERE p.shard_id = t.shard_id AND p.deliver_at <= p_now AND ${free} OFFSET 0) o
        ORDER BY o.sequence LIMIT p_limit + 1)
    ) f ORDER BY f.sequence LIMIT p_limit + 1
  )
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM found f CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q
    ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, min(n.deliver_at)
    FROM unnest(p_shards) AS t (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = t.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n;
END $fn$;`;
}
