// Migration 9: the functions that write one entry of a journal. Groups are in migration-10.ts.
//
// Where statements are prepared, an entry that ends a handler's transaction is a statement of its own (write-statement.ts).

import { PLANNING } from "./migration-1-write.ts";

/**
 * One entry of a journal, alone or at the end of a handler's transaction: then everything passes, or it fails. Most of what
 * such a write costs is the call, so it has few parameters.
 *
 * @param s the quoted schema
 */
export function writeStepOfVersion9(s: string): string {
  const parameters = `p_shard text, p_epoch bigint, p_key uuid, p_ordinal int, p_position int, p_kind text, p_name text,
  p_event text, p_data text, p_execution text`;
  // A claim that came first shows here, and one that comes later waits.
  const lock = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;`;
  const insert = `INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
    VALUES (p_key, p_ordinal, p_position, p_kind, p_name, p_event, p_data, p_execution) ON CONFLICT DO NOTHING;`;
  return `
CREATE FUNCTION ${s}.write_step_v9(${parameters}) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint;
BEGIN
  ${lock}
  IF v_epoch = p_epoch THEN
    ${insert}
  END IF;
  RETURN json_build_object('f', json_build_array(v_epoch));
END $fn$;
CREATE FUNCTION ${s}.commit_step_v9(${parameters}) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint;
BEGIN
  ${lock}
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    PERFORM ${s}.refuse_fence_v9(v_epoch);
  END IF;
  ${insert}
  IF NOT FOUND THEN
    RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
  END IF;
END $fn$;`;
}
