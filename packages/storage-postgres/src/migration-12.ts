// Migration 12: the journal of an execution is filed under the id of its request, which begins with its time: so what is under way
// at one time is together in the index, and on few of its pages. Puts better functions in the place of those that read, trim,
// reopen and forget, under their names, and touches no table: runners of versions 1 to 11 go on beside those of version 12.
// What those write is filed under the hash that is its key for them, and an execution that went from one release to another
// has entries under both. No ordinal is given twice: who takes over reads both, after a claim that the writes before it end with.
//
// The keys of an execution are found as long as its request is there. What is appended after it was forgotten, which a runner
// may do that was not told, is read by nobody, and not by the next execution of that id either.

import { forgetting, readJournal } from "./migration-1-functions.ts";
import { PLANNING } from "./migration-1-write.ts";
import { functionsOfVersion4 } from "./migration-4-functions.ts";
import { functionsOfVersion5 } from "./migration-5.ts";

/** @param schema a checked identifier */
export function functionsOfVersion12(schema: string): string {
  const s = `"${schema}"`;
  return [
    journalKeys(s),
    readJournal(s),
    forgetting(s),
    functionsOfVersion4(s),
    functionsOfVersion5(schema),
  ].join("\n");
}

/** journal-key.ts makes the first of these, too. */
function journalKeys(s: string): string {
  return `
CREATE FUNCTION ${s}.journal_key_v12(p_type text, p_execution text, p_request text) RETURNS uuid LANGUAGE sql STABLE AS $fn$
  SELECT CASE WHEN p_request ~ '^[0-9a-f]{32}$' THEN p_request::uuid ELSE ${s}.journal_key_v9(p_type, p_execution) END
$fn$;
COMMENT ON FUNCTION ${s}.journal_key_v12 IS 'Under what runners of version 12 file the journal of an execution that is this request.';
CREATE FUNCTION ${s}.journal_keys_v12(p_type text, p_execution text) RETURNS uuid[] LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
-- As a variable: were it a constant, the index of all executions of a type would do, too.
DECLARE v_tag text := 'execute';
BEGIN
  RETURN ${s}.journal_key_v9(p_type, p_execution) || ARRAY(
    SELECT ${s}.journal_key_v12(p_type, p_execution, q.request_id) FROM ${s}.requests q
      WHERE q.entity_type = p_type AND q.entity_id = p_execution AND q.tag = v_tag AND q.deduplication_key IS NOT NULL);
END $fn$;
COMMENT ON FUNCTION ${s}.journal_keys_v12 IS 'Under what an execution may have entries in its journal, as long as its request is there.';`;
}
