// Migration 11: a backlog is drained for less. Adds a function, and puts better ones in the place of the two that write groups,
// under their names. What is pending has more room on its pages; else no table is touched, and runners of versions 1 to 10
// go on beside those of version 11.
//
// - A page of a backlog is the beginning of all that is pending, mostly: no shard is looked through for it.
// - Every request of a backlog is updated once, when its attempt begins. On a page with room for that its index entries stay.

import { foundOnShards, IS_FREE, nextDue, OF_READING } from "./migration-1-functions.ts";
import { PLANNING } from "./migration-1-write.ts";
import { writeAnyGroup, writeGroup } from "./migration-10.ts";
import { OWN_COLUMNS, SHARED_COLUMNS } from "./pending-rows.ts";

/** A page ends with the payload that makes it so long. All of a page is one text, and one in Node has half a GB at the most. */
const PAGE_BYTES = 8 * 1024 * 1024;

/** @param schema a checked identifier */
export function functionsOfVersion11(schema: string): string {
  const s = `"${schema}"`;
  return [
    `ALTER TABLE ${s}.pending SET (fillfactor = 45);`,
    readPending(s),
    writeAnyGroup(s),
    writeGroup(s),
  ].join("\n");
}

/**
 * Reads what read_pending_v1 does, or the beginning of it that is long enough. The first p_ahead of all that is pending, in the
 * order of sequences, are looked at first, whosever they are: where they have enough, which they have in a backlog, that is
 * it. Looking through each shard costs a page out of 10,000 requests as much again as all else, and more out of more.
 *
 * Returns JSON: "rows" the requests as pending-rows.ts reads them, "more" whether there are more, "due" the next due time.
 */
function readPending(s: string): string {
  const shared = SHARED_COLUMNS.map((column) => `r.${column}`).join(", ");
  const own = OWN_COLUMNS.map((column) => `json_agg(r.${column})`).join(", ");
  return `
CREATE FUNCTION ${s}.read_pending_v11(${OF_READING}, p_ahead int) RETURNS text LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequences bigint[]; v_attempts int[]; v_found int; v_read int; v_rows json;
BEGIN
  SELECT array_agg(f.sequence), array_agg(f.attempts) INTO v_sequences, v_attempts FROM (
    SELECT p.sequence, p.attempts FROM (SELECT * FROM ${s}.pending o ORDER BY o.sequence LIMIT p_ahead) p
      -- IS TRUE keeps it from becoming a join, which would go through the shards for each row.
      WHERE (p.deliver_at IS NULL OR p.deliver_at <= p_now) AND (p.shard_id IN (SELECT unnest(p_shards))) IS TRUE AND ${IS_FREE}
      ORDER BY p.sequence LIMIT p_limit + 1) f;
  IF coalesce(cardinality(v_sequences), 0) <= p_limit THEN
    SELECT array_agg(f.sequence), array_agg(f.attempts) INTO v_sequences, v_attempts FROM (
      ${foundOnShards(s)}) f;
  END IF;
  v_found := coalesce(cardinality(v_sequences), 0);
  SELECT json_agg(g.columns), coalesce(sum(g.count), 0) INTO v_rows, v_read FROM (
    SELECT json_build_array(${shared}, ${own}) AS columns, count(*) FROM (
      SELECT q.*, f.attempts,
        sum(octet_length(q.payload)) OVER (ORDER BY f.place ROWS UNBOUNDED PRECEDING) - octet_length(q.payload) AS bytes_before
        FROM unnest(v_sequences[:p_limit], v_attempts[:p_limit]) WITH ORDINALITY AS f (sequence, attempts, place)
        CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q) r
      WHERE r.bytes_before < ${PAGE_BYTES} GROUP BY ${shared}) g;
  -- Where nothing could be read of what is pending, another look would not do, either.
  RETURN json_build_object('rows', v_rows, 'more', v_read BETWEEN 1 AND v_found - 1, 'due', (${nextDue(s)}));
END $fn$;`;
}
