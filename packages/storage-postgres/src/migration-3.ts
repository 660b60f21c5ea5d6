// Migration 3: functions that commit a handler's transaction. Adds them, and touches no table: runners of versions 1 and 2 go
// on beside those of version 3.
//
// They do for one reply or one journal entry what write_group_v1 does for a group in strict mode. That one reads fifty
// arrays, nearly all of them empty here, which took half of what an activity with a write of its own costs.

import { PLANNING } from "./migration-1-write.ts";

/** @param schema a checked identifier */
export function functionsOfVersion3(schema: string): string {
  const s = `"${schema}"`;
  return commitReply(s) + commitStep(s);
}

function commitReply(s: string): string {
  // A claim that came first shows here, and one that comes later waits.
  const fence = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(v_epoch::text, '');
  END IF;`;
  return `
CREATE FUNCTION ${s}.commit_reply_v3(p_shard text, p_epoch bigint, p_now bigint, p_id text, p_ok boolean, p_data text)
RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_type text;
BEGIN
  ${fence}
  SELECT q.sequence, q.entity_type INTO v_sequence, v_type FROM ${s}.requests q WHERE q.request_id = p_id;
  IF FOUND THEN
    INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at) VALUES (v_sequence, v_type, p_ok, p_data, p_now)
      ON CONFLICT DO NOTHING;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
  END IF;
  DELETE FROM ${s}.pending p WHERE p.sequence = v_sequence;
  IF NOT FOUND THEN
    -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
    DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  END IF;
END $fn$;`;
}

/** Migration 9 applies it again. @param s the quoted schema */
export function commitStep(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.commit_step_v3(p_shard text, p_epoch bigint, p_type text, p_execution text, p_ordinal int,
  p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
  PERFORM ${s}.commit_step_v9(p_shard, p_epoch, ${s}.journal_key_v9(p_type, p_execution), p_ordinal, p_position, p_kind,
    p_name, p_event, p_data, ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
END $fn$;`;
}
