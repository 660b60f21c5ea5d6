// Migration 5: an execution that is a dead letter is dropped whole. Adds a function, and touches no table: runners of versions
// 1 to 4 go on beside those of version 5. What those drop with takes executions whole, too.

import { PLANNING } from "./migration-1-write.ts";
import { withoutKey } from "./migration-4-functions.ts";

/** Migrations 9 and 12 apply it again. @param schema a checked identifier */
export function functionsOfVersion5(schema: string): string {
  const s = `"${schema}"`;
  return [dropDeadLetter(s), dropOfVersion1(s)].join("\n");
}

/**
 * Rare and unfenced: holds the shard before anything else, so that no fenced write is under way beside it,
 * which could append to the journal or answer the letter, and none is requeued, reopened or dropped meanwhile. What writes
 * for the same requests without a fence holds nothing of theirs that this waits for:
 *
 * - a save adds rows, which this does not see until they are committed; one that comes as late stays, and is in no inbox of
 *   an execution that is started after it;
 * - a sweep takes executions that were answered, and this one was not;
 * - who acknowledges chunks locks their stream first, and so does this.
 */
function dropDeadLetter(s: string): string {
  const forgetOld = ["pending", "streams", "chunks", "dead_letters", "replies", "requests"]
    .map((table) => `DELETE FROM ${s}.${table} o WHERE o.sequence = ANY (v_old);`)
    .join("\n  ");
  return `
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v5(p_id text, p_execution_tag text) RETURNS TABLE (dropped text)
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_shard text; v_type text; v_entity text; v_tag text; v_key text; v_old bigint[];
BEGIN
  SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key
    INTO v_sequence, v_shard, v_type, v_entity, v_tag, v_key
    FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  PERFORM 1 FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;
  v_old := ARRAY[v_sequence];
  -- Another request of the tag is no execution, and must not take the execution along.
  IF v_tag = p_execution_tag AND v_key = p_execution_tag THEN
    DELETE FROM ${s}.journal j WHERE j.key = ANY (${s}.journal_keys_v12(v_type, v_entity));
    DELETE FROM ${s}.attributes a WHERE a.entity_type = v_type AND a.execution_id = v_entity;
    v_old := v_old || ARRAY(SELECT q.sequence FROM ${s}.requests q
      WHERE q.entity_type = v_type AND q.entity_id = v_entity AND q.deduplication_key IS NOT NULL);
    ${withoutKey(s, "ARRAY[$3]")} USING v_old, v_type, v_entity;
  END IF;
  ${forgetOld}
  RETURN QUERY SELECT p_id;
END $fn$;`;
}

/** What runners of versions 1 to 4 call: they do not say which letters are executions, and those go whole all the same. */
function dropOfVersion1(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text)
LANGUAGE plpgsql ${PLANNING} AS $fn$
BEGIN
  RETURN QUERY SELECT d.dropped FROM ${s}.drop_dead_letter_v5(p_id, (
    SELECT 'execute'::text FROM ${s}.requests q WHERE q.request_id = p_id AND starts_with(q.entity_type, 'workflow:'))) d;
END $fn$;`;
}
