// Migration 2: retention takes the journals of finished executions along. Adds a function, and touches no table: runners
// of version 1 go on beside those of version 2.

import { PLANNING } from "./migration-1-write.ts";

/**
 * Each answered request is locked, or left to whoever has it; its journal, chunks and reply go in the same transaction, so
 * that a key that can be used again has no journal left from before.
 *
 * @param schema a checked identifier
 */
export function functionsOfVersion2(schema: string): string {
  const s = `"${schema}"`;
  return `
CREATE FUNCTION ${s}.forget_answered_v2(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_old bigint[];
BEGIN
  SELECT array_agg(o.sequence) INTO v_old FROM (
    SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = p_type AND r.answered_at < p_before
      ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  IF v_old IS NULL THEN RETURN 0; END IF;
  IF p_execution_tag IS NOT NULL THEN
    DELETE FROM ${s}.journal j WHERE j.entity_type = p_type AND j.execution_id = ANY (ARRAY(
      SELECT q.entity_id FROM ${s}.requests q WHERE q.sequence = ANY (v_old) AND q.tag = p_execution_tag));
  END IF;
  DELETE FROM ${s}.chunks c WHERE c.sequence = ANY (v_old);
  DELETE FROM ${s}.streams o WHERE o.sequence = ANY (v_old);
  DELETE FROM ${s}.requests q WHERE q.sequence = ANY (v_old);
  DELETE FROM ${s}.replies r WHERE r.sequence = ANY (v_old);
  RETURN cardinality(v_old);
END $fn$;`;
}
