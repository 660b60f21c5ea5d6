// Migration 7: a function that writes a group of which everything passes, and one that requeues an execution as one that was
// begun before; and puts better ones in the place of three of versions 1 and 4. Touches no table: runners of versions 1 to 6
// go on beside those of version 7.
//
// The first does for nearly every group what write_group_v1 does for any, for three quarters of the server's time: no row is
// inserted with ON CONFLICT, which inserts it twice over (speculatively, and then for good), and none is looked up again to
// see what became of it. Where something was there already or a shard was claimed again, nothing of it was done, and
// write_group_v1 sorts out what passes. Two transaction ids go to a group instead of one, and where something was there a
// group's dead rows.

import { readPending } from "./migration-1-functions.ts";
import { lookedUpIn, OF_REPLIES, PLANNING, UNTIL_JOURNAL, updatePending } from "./migration-1-write.ts";
import { forgetAnswered } from "./migration-4-functions.ts";
import { listingOfVersion4 } from "./migration-4-listing.ts";

/** How a function for groups answers which requests were accepted, each one as `g`. */
interface Accepted {
  readonly variables: readonly string[];
  readonly columns: string;
  /** A part of the object that is the answer. */
  readonly answer: string;
}

/** @param schema a checked identifier */
export function functionsOfVersion7(schema: string): string {
  const s = `"${schema}"`;
  const accepted: Accepted = {
    variables: ["v_accepted"],
    columns: "json_object_agg(g.id, g.sequence)",
    answer: "'q', v_accepted",
  };
  return [
    writeGroup(s, 7, accepted),
    readPending(s),
    requeueDeadLetter(s),
    listingOfVersion4(s),
    forgetAnswered(s),
  ].join("\n");
}

/** @param accepted how the group's accepted requests are answered: variables for columns that are aggregates of `g` */
export function writeGroup(s: string, version: 7 | 8, accepted: Accepted): string {
  return `
CREATE FUNCTION ${s}.write_group_v${version}(
  ${UNTIL_JOURNAL},
  ${OF_REPLIES}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; ${accepted.variables.map((name) => `${name} json;`).join(" ")} v_recorded json; v_count int; v_left int;
  v_sequences bigint[]; v_attempts int[]; v_moves boolean[]; v_times bigint[];
BEGIN
  -- A claim that came first shows here, and one that comes later waits. The shards come in this order.
  v_epochs := ARRAY(
    SELECT e.epoch FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) ORDER BY e.shard_id FOR SHARE);
  IF v_epochs = p_f_epoch THEN
    BEGIN
      IF cardinality(p_q_id) > 0 THEN
        ${requests(s, accepted)}
      END IF;
      ${updatePending(s, "").replaceAll("\n", "\n    ")}
      IF cardinality(p_j_type) > 0 THEN
        INSERT INTO ${s}.journal (entity_type, execution_id, ordinal, position, kind, name, event, data)
          SELECT * FROM unnest(p_j_type, p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data);
      END IF;
      IF cardinality(p_r_id) > 0 THEN
        ${replies(s)}
      END IF;
      RETURN json_build_object('f', v_epochs, ${accepted.answer}, 'r', v_recorded);
    EXCEPTION WHEN unique_violation THEN
      -- The block did nothing, then.
    END;
  END IF;
  RETURN ${s}.write_group_v1(false, p_now, p_f_shard, p_f_epoch, p_q_fence, p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag,
    p_q_key, p_q_payload, p_q_headers, p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender,
    p_q_deliver_at, p_q_attempts, p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at, p_j_fence, p_j_type,
    p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data, '{}', '{}', '{}', '{}',
    p_r_fence, p_r_id, p_r_ok, p_r_data, '{}', '{}', '{}', '{}', '{}');
END $fn$;`;
}

/**
 * Duplicates of a key are no accident: callers who have one send it again as a matter of course, and a group with one is not
 * to be written twice. So those that are there are left out first. The others have ids of their own.
 */
function requests(s: string, { variables, columns }: Accepted): string {
  return `WITH given AS MATERIALIZED (
          SELECT nextval('${s}.requests_sequence_seq') AS sequence, t.*
            FROM unnest(p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag, p_q_key, p_q_payload, p_q_headers, p_q_expects,
              p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender, p_q_deliver_at, p_q_attempts)
              AS t (id, shard, type, entity, tag, key, payload, headers, expects, uninterruptible, inside, pending_first,
                sender, deliver_at, attempts)
            LEFT JOIN LATERAL (
              SELECT true AS is_there FROM ${s}.requests o WHERE o.entity_type = t.type AND o.entity_id = t.entity
                AND o.tag = t.tag AND o.deduplication_key = t.key OFFSET 0) known ON true
            WHERE known.is_there IS NULL
        ), accepted AS (
          INSERT INTO ${s}.requests (sequence, request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
            headers, expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at) OVERRIDING SYSTEM VALUE
          SELECT g.sequence, g.id, g.shard, g.type, g.entity, g.tag, g.key, g.payload, g.headers, g.expects, g.uninterruptible,
            g.inside, g.pending_first, g.sender, g.deliver_at FROM given g
        ), queued AS (
          INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
          SELECT g.sequence, g.shard, g.type, g.entity, g.attempts, g.deliver_at FROM given g
        ) SELECT ${columns} INTO ${variables.join(", ")} FROM given g;`;
}

/** A dead letter that is answered after all is a dead letter no longer: it is what was not pending. */
function replies(s: string): string {
  return `WITH given AS MATERIALIZED (
          SELECT q.sequence, q.entity_type, t.id, t.ok, t.data FROM unnest(p_r_id, p_r_ok, p_r_data) AS t (id, ok, data)
          ${lookedUpIn(s)}
        ), gone AS (
          DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
        ), recorded AS (
          INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
          SELECT g.sequence, g.entity_type, g.ok, g.data, p_now FROM given g
        ) SELECT json_agg(g.id), array_agg(g.sequence), count(*), (SELECT count(*) FROM gone)
          INTO v_recorded, v_sequences, v_count, v_left FROM given g;
        IF v_left < v_count THEN
          DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
        END IF;`;
}

/** Rare and unfenced, as ever: takes the shard's row alone, so that no fenced write is under way beside it. */
function requeueDeadLetter(s: string): string {
  return `
CREATE FUNCTION ${s}.requeue_dead_letter_v7(p_id text, p_execution_tag text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint;
BEGIN
  RETURN QUERY SELECT t.entity_type, t.entity_id, t.shard_id FROM ${s}.requeue_dead_letter_v1(p_id) t;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT q.sequence INTO v_sequence FROM ${s}.requests q WHERE q.request_id = p_id AND q.tag = p_execution_tag;
  UPDATE ${s}.pending p SET attempts = 1 WHERE p.sequence = v_sequence;
END $fn$;`;
}
