// Migration 7: a function that wrote a group of which everything passes, and one that requeues an execution as one that was
// begun before; and puts better ones in the place of three of versions 1 and 4. Touches no table: runners of versions 1 to 6
// go on beside those of version 7.

import { readPending } from "./migration-1-functions.ts";
import { PLANNING, writeCommonGroup } from "./migration-1-write.ts";
import { forgetAnswered } from "./migration-4-functions.ts";
import { listingOfVersion4 } from "./migration-4-listing.ts";

/** @param schema a checked identifier */
export function functionsOfVersion7(schema: string): string {
  const s = `"${schema}"`;
  return [
    writeCommonGroup(s, 7),
    readPending(s),
    requeueDeadLetter(s),
    listingOfVersion4(s),
    forgetAnswered(s),
  ].join("\n");
}

/** Rare and unfenced, as ever: holds the shard, so that no fenced write is under way beside it. */
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
