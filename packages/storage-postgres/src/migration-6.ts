// Migration 6: functions that write one request, reply, journal entry or count of attempts. Adds them, and touches no table:
// runners of versions 1 to 5 go on beside those of version 6.
//
// They do for one write what write_group_v1 does for many, and answer as it does: on an idle system each write comes alone,
// and reading fifty arrays, nearly all of them empty, took longer than the write.

import { PLANNING } from "./migration-1-write.ts";

/** @param schema a checked identifier */
export function functionsOfVersion6(schema: string): string {
  const s = `"${schema}"`;
  return writeOthers(s) + writeStep(s);
}

function writeOthers(s: string): string {
  // A claim that came first shows here, and one that comes later waits.
  const fence = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  v_answer := json_build_object('f', json_build_array(v_epoch));
  IF v_epoch IS DISTINCT FROM p_epoch THEN RETURN v_answer; END IF;`;
  return `
CREATE FUNCTION ${s}.write_request_v6(p_shard text, p_epoch bigint, p_id text, p_of_shard text, p_type text, p_entity text,
  p_tag text, p_key text, p_payload text, p_headers text, p_expects text, p_uninterruptible boolean, p_inside boolean,
  p_pending_first boolean, p_sender text, p_deliver_at bigint, p_attempts int)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_answer text := '{}';
BEGIN
  -- Who stores a request for others has no fence.
  IF p_shard IS NOT NULL THEN
    ${fence}
  END IF;
  INSERT INTO ${s}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers, expects,
      uninterruptible, from_inside, read_pending_first, sender, deliver_at)
    VALUES (p_id, p_of_shard, p_type, p_entity, p_tag, p_key, p_payload, p_headers, p_expects, p_uninterruptible, p_inside,
      p_pending_first, p_sender, p_deliver_at)
    ON CONFLICT DO NOTHING RETURNING requests.sequence INTO v_sequence;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    VALUES (v_sequence, p_of_shard, p_type, p_entity, p_attempts, p_deliver_at);
  RETURN json_build_object('f', json_build_array(v_epoch), 'q', json_build_object(p_id, v_sequence));
END $fn$;
CREATE FUNCTION ${s}.write_reply_v6(p_shard text, p_epoch bigint, p_now bigint, p_id text, p_ok boolean, p_data text)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_type text; v_answer text;
BEGIN
  ${fence}
  SELECT q.sequence, q.entity_type INTO v_sequence, v_type FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at) VALUES (v_sequence, v_type, p_ok, p_data, p_now)
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  DELETE FROM ${s}.pending p WHERE p.sequence = v_sequence;
  IF NOT FOUND THEN
    -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
    DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  END IF;
  RETURN json_build_object('f', json_build_array(v_epoch), 'r', json_build_array(p_id));
END $fn$;
CREATE FUNCTION ${s}.write_attempts_v6(p_shard text, p_epoch bigint, p_id text, p_attempts int, p_moves boolean,
  p_deliver_at bigint)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_answer text;
BEGIN
  ${fence}
  SELECT q.sequence INTO v_sequence FROM ${s}.requests q WHERE q.request_id = p_id;
  UPDATE ${s}.pending p SET attempts = p_attempts,
    deliver_at = CASE WHEN p_moves THEN p_deliver_at ELSE p.deliver_at END WHERE p.sequence = v_sequence;
  RETURN v_answer;
END $fn$;`;
}

/** Migration 9 applies it again. @param s the quoted schema */
export function writeStep(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_step_v6(p_shard text, p_epoch bigint, p_type text, p_execution text, p_ordinal int,
  p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.write_step_v9(p_shard, p_epoch, ${s}.journal_key_v9(p_type, p_execution), p_ordinal, p_position, p_kind, p_name,
    p_event, p_data, ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
END $fn$;`;
}
