// Migration 11: a backlog is drained for less. Adds functions, and puts one in the place of one of version 10, under its name.
// What is pending has more room on its pages; else no table is touched.
//
// - A page of a backlog is the beginning of all that is pending, mostly: no shard is looked through for it.
// - Who has read or accepted a request gives its sequence, where its id had to be looked up.
// - Every request of a backlog is updated once, when its attempt begins. On a page with room for that its index entries stay.

import { GROUP_COLUMNS, type GroupKind } from "./group-columns.ts";
import { foundOnShards, IS_FREE, nextDue, OF_READING } from "./migration-1-functions.ts";
import { PLANNING } from "./migration-1-write.ts";
import { OWN_COLUMNS, SHARED_COLUMNS } from "./pending-rows.ts";
import { given, leaveToAny, parametersFor, standing, TERMS, writeGroupOfVersion } from "./migration-10.ts";

/** A page ends with the payload that makes it so long. All of a page is one text, and one in Node has half a GB at the most. */
const PAGE_BYTES = 8 * 1024 * 1024;

/** @param schema a checked identifier */
export function functionsOfVersion11(schema: string): string {
  const s = `"${schema}"`;
  return [
    `ALTER TABLE ${s}.pending SET (fillfactor = 45);`,
    readPending(s),
    writeGroup(s),
    writeGroupOfVersion(s, 10),
  ].join("\n");
}

/**
 * Does what read_pending_v1 does. The first p_ahead of all that is pending, in the order of sequences, are looked at first,
 * whosever they are: where they have enough, which they have in a backlog, that is it. Looking through each shard costs a page
 * out of 10,000 requests as much again as all else, and more out of more.
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
      SELECT f.sequence, f.attempts, q.*,
        sum(octet_length(q.payload)) OVER (ROWS UNBOUNDED PRECEDING) - octet_length(q.payload) AS bytes_before
        FROM unnest(v_sequences[:p_limit], v_attempts[:p_limit]) AS f (sequence, attempts)
        CROSS JOIN LATERAL (
          SELECT ${[...SHARED_COLUMNS, ...OWN_COLUMNS].filter((column) => column !== "sequence" && column !== "attempts").join(", ")}
            FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q) r
      WHERE r.bytes_before < ${PAGE_BYTES} GROUP BY ${shared}) g;
  RETURN json_build_object('rows', v_rows, 'more', v_found > v_read, 'due', (${nextDue(s)}));
END $fn$;`;
}

/**
 * Does for nearly every group what write_group_any_v9 does for any, for two thirds of the server's time: no row is inserted with
 * ON CONFLICT, which inserts it twice over (speculatively, and then for good), and none is looked up again to see what
 * became of it. Where something was there already, something was not, or a shard was claimed again, nothing of it was done, and
 * the other sorts out what passes. Two transaction ids go to a group instead of one, and where something was there a group's
 * dead rows.
 *
 * Duplicates of a key are no accident: callers who have one send it again as a matter of course, and a group with one is not
 * to be written twice. So whether there is one is asked first.
 *
 * The shards are given in their order. Returns JSON: "s" the sequences of the requests, in their order, where everything
 * passed, or what the other says.
 */
function writeGroup(s: string): string {
  return `
CREATE FUNCTION ${s}.write_group_v11(
  ${TERMS},
  ${(["q", "u", "j", "r"] as const).map((kind) => parametersFor(kind, GROUP_COLUMNS[kind])).join(",\n  ")}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_count int; v_gated boolean; v_passes boolean; v_accepted bigint[] := '{}'; v_sequences bigint[];
BEGIN
  ${standing(s).replaceAll("\n", "\n  ")}
  v_epochs := ARRAY(
    SELECT e.epoch FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) AND (NOT v_gated OR e.gate = p_gate)
      ORDER BY e.shard_id);
  v_passes := v_epochs = p_f_epoch;
  IF v_passes AND cardinality(p_q_key) > 0 THEN
    v_passes := NOT EXISTS (SELECT FROM ${given("q", "id type entity tag key")} CROSS JOIN LATERAL (
      SELECT FROM ${s}.requests o WHERE o.entity_type = t.type AND o.entity_id = t.entity AND o.tag = t.tag
        AND o.deduplication_key = t.key OFFSET 0) known);
  END IF;
  IF v_passes THEN
    BEGIN
      IF cardinality(p_q_id) > 0 THEN
        v_accepted := ARRAY(SELECT nextval('${s}.requests_sequence_seq') FROM generate_series(1, cardinality(p_q_id)));
        INSERT INTO ${s}.requests (sequence, request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
            headers, expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at) OVERRIDING SYSTEM VALUE
          SELECT v_accepted[t.place], t.id, t.shard, t.type, t.entity, t.tag, t.key, t.payload, t.headers, t.expects,
            t.uninterruptible, t.inside, t.pending_first, t.sender, t.deliver_at
            FROM ${given("q", "id shard type entity tag key payload headers expects uninterruptible inside pending_first sender deliver_at")};
        INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
          SELECT v_accepted[t.place], t.shard, t.type, t.entity, t.attempts, t.deliver_at
            FROM ${given("q", "id shard type entity attempts deliver_at")};
      END IF;
      ${updates(s)}
      IF cardinality(p_j_key) > 0 THEN
        INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
          SELECT t.key, t.ordinal, t.position, t.kind, t.name, t.event, t.data, t.execution
            FROM ${given("j", "key ordinal position kind name event data execution")};
      END IF;
      ${replies(s)}
      RETURN json_build_object('s', v_accepted);
    EXCEPTION WHEN unique_violation THEN
      -- The block did nothing, then.
    END;
  END IF;
  ${leaveToAny(s)}
END $fn$;`;
}

/**
 * Writes the counts of attempts and the due times of p_u_*. Mostly all begin their first attempt: then both columns are one
 * value, none of them moves, and nothing is looked for. A place in an array takes the longer the more there are.
 */
function updates(s: string): string {
  const place = "array_position(v_sequences, p.sequence)";
  const of = (column: string): string =>
    `CASE WHEN cardinality(p_u_${column}) = 1 THEN p_u_${column}[1] ELSE p_u_${column}[${place}] END`;
  return `IF cardinality(p_u_id) > 0 THEN
        ${sequences(s, "u")}
        UPDATE ${s}.pending p
          SET attempts = ${of("attempts")},
            deliver_at = CASE WHEN p_u_moves <> '{f}' AND ${of("moves")} THEN p_u_deliver_at[${place}] ELSE p.deliver_at END
          WHERE p.sequence = ANY (v_sequences);
        ${insist("u")}
      END IF;`;
}

function replies(s: string): string {
  return `IF cardinality(p_r_id) > 0 THEN
        ${sequences(s, "r")}
        WITH gone AS (
          DELETE FROM ${s}.pending p WHERE p.sequence = ANY (v_sequences) RETURNING p.sequence, p.entity_type
        ) INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
            SELECT g.sequence, g.entity_type, t.ok, t.data, p_now FROM ${given("r", "id ok data")}
            JOIN gone g ON g.sequence = v_sequences[t.place];
        ${insist("r")}
      END IF;`;
}

/** Those of the requests of a kind, in their order. Null: there is none. */
function sequences(s: string, kind: GroupKind): string {
  return `IF cardinality(p_${kind}_sequence) = cardinality(p_${kind}_id) AND array_position(p_${kind}_sequence, NULL) IS NULL THEN
          v_sequences := p_${kind}_sequence;
        ELSE
          v_sequences := ARRAY(
            SELECT coalesce(t.sequence, (SELECT o.sequence FROM ${s}.requests o WHERE o.request_id = t.id))
              FROM ${given(kind, "id sequence")} ORDER BY t.place);
        END IF;`;
}

/** What the last statement was for must all have been pending. If not, the other says what became of it. */
function insist(kind: GroupKind): string {
  return `GET DIAGNOSTICS v_count = ROW_COUNT;
        IF v_count < cardinality(p_${kind}_id) THEN
          RAISE unique_violation;
        END IF;`;
}
