// Migration 4: the function that lists executions.
//
// A page is found in one of two ways. Where a condition has few requests, these are collected by its index, looked up and
// sorted. Where every condition has many, executions are gone through from the newest on until the page is full, which is
// soon. Statistics play no part in it: PGlite has none, and a server's are of the past. (JIT is off, since costs that are
// guessed without them have it compile a query of milliseconds for half a second.)
//
// Both ways end in the same query, which looks up what became of a request and checks all conditions.

import { PLANNING } from "./migration-1-write.ts";

/** How many requests are few: all of them are looked up in about a fifth of a second. */
const FEW = 10_000;

/** Migration 7 applies it again. @param s the quoted schema */
export function listingOfVersion4(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.list_executions_v4(
  p_type text, p_tag text, p_execution text, p_status text, p_from text, p_below text, p_names text[], p_values text[],
  p_now bigint, p_limit int, p_cancelled text
) RETURNS TABLE (status text, ended_at bigint, due_at bigint, attributes text, request_id text, shard_id text,
  entity_type text, entity_id text, tag text, deduplication_key text, payload text, headers text, expects text,
  uninterruptible boolean, from_inside boolean, read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} SET max_parallel_workers_per_gather = 0 SET jit = off AS $fn$
#variable_conflict use_column
DECLARE v_few bigint[]; v_some bigint[]; v_executions text[]; v_requests text := '${s}.requests'; v_where text := '';
BEGIN
  IF p_execution IS NOT NULL THEN
    v_few := ARRAY(${executions(s, "ARRAY[p_execution]")});
  ELSIF p_status IS NOT NULL THEN
    EXECUTE 'SELECT ARRAY(SELECT f.sequence FROM (' || CASE p_status
      ${ofStatuses(s)}
      END || ') f LIMIT ${FEW + 1})' INTO v_some USING p_type, p_now, p_cancelled;
    IF cardinality(v_some) <= ${FEW} THEN v_few := v_some; END IF;
  END IF;
  FOR i IN 1 .. cardinality(p_names) LOOP
    v_executions := ARRAY(SELECT a.execution_id FROM ${s}.attributes a
      WHERE a.entity_type = p_type AND a.name = p_names[i] AND a.value = p_values[i]
      LIMIT least(${FEW}, cardinality(v_few)) + 1);
    IF cardinality(v_executions) <= least(${FEW}, cardinality(v_few)) THEN
      v_few := ARRAY(${executions(s, "v_executions")});
    END IF;
    -- Found by its execution: by its name PostgreSQL may go through the attributes of all.
    v_where := v_where || format(' AND ($7)[%1$s] = (SELECT o.value FROM ${s}.attributes o
      WHERE o.entity_type = q.entity_type AND o.execution_id = q.entity_id AND o.name || '''' = ($6)[%1$s])', i);
  END LOOP;
  IF v_few IS NOT NULL THEN
    v_requests := '(SELECT t.sequence FROM unnest($10) AS t (sequence)) t
      CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = t.sequence OFFSET 0)';
  END IF;
  RETURN QUERY EXECUTE 'SELECT s.status, coalesce(r.answered_at, d.dead_since),
      CASE WHEN s.status = ''suspended'' THEN p.deliver_at END,
      (SELECT json_object_agg(a.name, a.value::json)::text FROM ${s}.attributes a
        WHERE a.entity_type = q.entity_type AND a.execution_id = q.entity_id),
      q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload, q.headers, q.expects,
      q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM ' || v_requests || ' q
    LEFT JOIN LATERAL (SELECT o.* FROM ${s}.pending o WHERE o.sequence = q.sequence OFFSET 0) p ON true
    LEFT JOIN LATERAL (SELECT o.ok, o.answered_at, NOT o.ok AND starts_with(o.data, $9) AS is_cancelled
      FROM ${s}.replies o WHERE o.sequence = q.sequence OFFSET 0) r ON true
    LEFT JOIN LATERAL (SELECT o.dead_since FROM ${s}.dead_letters o WHERE o.sequence = q.sequence OFFSET 0) d ON true
    CROSS JOIN LATERAL (SELECT CASE
      WHEN r.ok THEN ''completed'' WHEN r.is_cancelled THEN ''cancelled''
      WHEN NOT r.ok OR d.dead_since IS NOT NULL THEN ''failed''
      WHEN p.deliver_at > $8 THEN ''suspended'' WHEN p.attempts > 0 THEN ''running'' ELSE ''pending'' END AS status) s
    WHERE q.entity_type = $1 AND q.tag = $2 AND q.deduplication_key IS NOT NULL
      AND ($3 IS NULL OR s.status = $3) AND ($4 IS NULL OR q.request_id >= $4) AND ($5 IS NULL OR q.request_id < $5)'
      || v_where || ' ORDER BY q.request_id DESC LIMIT $11'
    USING p_type, p_tag, p_status, p_from, p_below, p_names, p_values, p_now, p_cancelled, v_few, p_limit;
END $fn$;`;
}

/** Each is looked up by itself: of a list of ids PostgreSQL may make a condition that it checks for every execution there is. */
function executions(s: string, ids: string): string {
  return `SELECT q.sequence FROM unnest(${ids}) AS t (id) CROSS JOIN LATERAL (
        SELECT o.sequence FROM ${s}.requests o WHERE o.entity_type = p_type AND o.entity_id = t.id AND o.tag = p_tag
          AND o.deduplication_key IS NOT NULL OFFSET 0) q`;
}

/**
 * The requests of a status, over the type ($1), the time ($2) and the beginning of a cancelled one's error ($3). Planned
 * with the type, which says whether the indexes of workflows have them.
 *
 * An error is not read as JSON: PostgreSQL takes no NUL in a text of one, and the whole query would fail.
 */
function ofStatuses(s: string): string {
  const due = (where: string): string =>
    ["p.deliver_at IS NULL", "p.deliver_at <= $2"]
      .map(
        (when) => `SELECT p.sequence FROM ${s}.pending p WHERE p.entity_type = $1 AND ${when} AND ${where}`,
      )
      .join(" UNION ALL ");
  const answered = `SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = $1`;
  const dead = `SELECT d.sequence FROM ${s}.dead_letters d
        CROSS JOIN LATERAL (SELECT FROM ${s}.requests o WHERE o.sequence = d.sequence AND o.entity_type = $1 OFFSET 0) q`;
  return Object.entries({
    pending: due("p.attempts = 0"),
    running: due("p.attempts > 0"),
    suspended: `SELECT p.sequence FROM ${s}.pending p WHERE p.entity_type = $1 AND p.deliver_at > $2`,
    completed: `${answered} AND r.ok`,
    cancelled: `${answered} AND NOT r.ok AND starts_with(r.data, $3)`,
    failed: `${answered} AND NOT r.ok AND NOT starts_with(r.data, $3) UNION ALL ${dead}`,
  })
    .map(([status, query]) => `WHEN '${status}' THEN '${query}'`)
    .join("\n      ");
}
