// Migration 10: what is the same in all rows of a group is given once, and of a group that passes whole only sequences are
// answered. Its functions take the place of those of version 9, under their names: they take what runners of version 9 give
// them. Touches no table. Those that write are made by migration 11, since it has better ones.
//
// Nearly every group goes to write_group_v10, for which everything passes. What it cannot do, write_group_any_v9 does: it sorts
// out what passes where a shard was claimed again or something was there already. A write alone has a function of its own.

import { ANSWERED, GROUP_COLUMNS, type GroupColumn, type GroupKind } from "./group-columns.ts";
import { PLANNING } from "./migration-1-write.ts";

/**
 * The rows of a kind as `t`, with their `place`: to be put behind FROM. A column that is the same in all rows may have one value,
 * or if it may be null and is, none: most are so in most groups, and reading them took an eighth of the time of a group of
 * requests.
 *
 * @param chosen the columns that are asked for; what the row is of must be among them, since it tells how many rows there are
 */
function given(kind: GroupKind, chosen?: string): string {
  const asked = chosen?.split(" ") ?? GROUP_COLUMNS[kind].map(({ name }) => name);
  const columns = asked.map(
    (name) => GROUP_COLUMNS[kind].find((column) => column.name === name) as GroupColumn,
  );
  const values = columns.map(({ name, isNullable, isWhole }) =>
    isNullable || isWhole
      ? `u.${name}`
      : `CASE WHEN cardinality(p_${kind}_${name}) = 1 THEN p_${kind}_${name}[1] ELSE u.${name} END AS ${name}`,
  );
  const whole = GROUP_COLUMNS[kind].find(({ isWhole }) => isWhole) as GroupColumn;
  // Columns go on together in a select list, too; behind FROM each would be put down as a whole first.
  return `(SELECT ${values.join(", ")}, u.place
        FROM (SELECT ${asked.map((name) => `unnest(p_${kind}_${name}) AS ${name}`).join(", ")},
          generate_subscripts(p_${kind}_${whole.name}, 1) AS place) u) t`;
}

/** The parameters that are the columns of these kinds. */
function parametersOf(...kinds: readonly GroupKind[]): string {
  return kinds
    .map((kind) => GROUP_COLUMNS[kind].map(({ name, type }) => `p_${kind}_${name} ${type}[]`).join(", "))
    .join(",\n  ");
}

/** What passes them on. */
function argumentsOf(...kinds: readonly GroupKind[]): string {
  return kinds
    .map((kind) => GROUP_COLUMNS[kind].map(({ name }) => `p_${kind}_${name}`).join(", "))
    .join(",\n    ");
}

/** What passes on no row of a kind. */
function noneOf(kind: GroupKind): string {
  return GROUP_COLUMNS[kind].map(() => "'{}'").join(", ");
}

/** Parameters of the functions that write groups: the gate, when it is, the fences. */
const TERMS = "p_gate bigint, p_now bigint, p_f_shard text[], p_f_epoch bigint[]";

/** @param schema a checked identifier */
export function functionsOfVersion10(schema: string): string {
  const s = `"${schema}"`;
  return writeGroupOfVersion9(s);
}

/**
 * From here on no claim of the shards in p_f_shard commits, to the end of the transaction. Who claimed all of them holds his gate for
 * that, which is one lock that leaves no trace in the log, whatever there is of shards. Others lock their rows.
 *
 * What follows reads the epochs, in a statement of its own: it sees what was committed before it began, and so each claim
 * that came first. In an isolation level in which it would not, the rows are locked, which fails there.
 */
function standing(s: string): string {
  return `v_gated := p_gate IS NOT NULL AND current_setting('transaction_isolation') = 'read committed';
IF v_gated THEN
  PERFORM pg_advisory_xact_lock_shared(p_gate);
ELSE
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) ORDER BY e.shard_id FOR SHARE;
END IF;`;
}

/**
 * Writes a group. No claim comes in between (`standing`): one that came first shows here, and one that comes later waits.
 * Writes under a stale fence (by its place in p_f_*, from 1; 0 is none) are left out, the others pass. In strict mode
 * everything passes or the transaction fails: for a group of one caller, who has written in it already.
 *
 * Returns JSON: "f" the current epochs, "q" the accepted ids with their sequences, "c" the ids of known streams, "r" the
 * ids whose reply was recorded.
 */
export function writeAnyGroup(s: string): string {
  const lookedUp = lookedUpIn(s);
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_any_v9(
  p_strict boolean, ${TERMS},
  ${parametersOf("q", "u", "j", "c", "r", "d")}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_held boolean[]; v_gated boolean; v_replied text[] := '{}';
  v_accepted json; v_streams json; v_recorded json;
  v_sequences bigint[]; v_types text[]; v_ids text[]; v_oks boolean[]; v_texts text[];
  v_attempts int[]; v_moves boolean[]; v_times bigint[]; v_count int; v_left int; v_refused text[] := '{}';
BEGIN
  IF cardinality(p_f_shard) > 0 THEN
    ${standing(s).replaceAll("\n", "\n    ")}
    SELECT array_agg(e.epoch ORDER BY f.place), array_agg(e.epoch IS NOT DISTINCT FROM f.epoch ORDER BY f.place)
      INTO v_epochs, v_held
      FROM unnest(p_f_shard, p_f_epoch) WITH ORDINALITY AS f (shard_id, epoch, place)
      -- Under a gate that is not that of who claimed a shard nothing is held, whatever the epoch.
      LEFT JOIN ${s}.shards e ON e.shard_id = f.shard_id AND (NOT v_gated OR e.gate = p_gate OR e.epoch <> f.epoch);
    IF p_strict AND NOT (true = ALL (v_held)) THEN
      PERFORM ${s}.refuse_fence_v9(v_epochs[1]);
    END IF;
  END IF;

  IF cardinality(p_q_id) > 0 THEN
    IF cardinality(p_r_id) > 0 THEN
      SELECT coalesce(array_agg(t.id), '{}') INTO v_replied
        FROM ${given("r")} WHERE v_held[t.fence];
    END IF;
    WITH given AS MATERIALIZED (
      SELECT t.* FROM ${given("q")} WHERE t.fence = 0 OR v_held[t.fence]
    ), accepted AS (
      INSERT INTO ${s}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers,
        expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at)
      SELECT g.id, g.shard, g.type, g.entity, g.tag, g.key, g.payload, g.headers, g.expects, g.uninterruptible, g.inside,
        g.pending_first, g.sender, g.deliver_at FROM given g ORDER BY g.place
      ON CONFLICT DO NOTHING
      RETURNING requests.sequence, requests.request_id
    ), queued AS (
      INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
      SELECT a.sequence, g.shard, g.type, g.entity, g.attempts, g.deliver_at
        FROM accepted a JOIN given g ON g.id = a.request_id
        WHERE NOT (a.request_id = ANY (v_replied))
    ) SELECT json_object_agg(a.request_id, a.sequence) INTO v_accepted FROM accepted a;
    IF cardinality(p_r_id) > 0 THEN
      -- Of a duplicate nothing is written, and so no reply that came with it.
      SELECT coalesce(array_agg(t.id), '{}') INTO v_refused
        FROM ${given("q", "id attempts")} WHERE t.attempts = ${ANSWERED} AND v_accepted->t.id IS NULL;
    END IF;
  END IF;

  ${updatePending(s, "WHERE v_held[t.fence]")}

  IF cardinality(p_j_key) > 0 THEN
    INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
      SELECT t.key, t.ordinal, t.position, t.kind, t.name, t.event, t.data, t.execution
        FROM ${given("j")} WHERE v_held[t.fence] ORDER BY t.place
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF p_strict AND v_count < cardinality(p_j_key) THEN
      RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
    END IF;
  END IF;

  IF cardinality(p_c_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.index, t.value, t.place
        FROM ${given("c")}
        ${lookedUp} WHERE v_held[t.fence]
    ), stream AS (
      INSERT INTO ${s}.streams AS o (sequence, saved, acknowledged)
      SELECT g.sequence, max(g.index) + 1, 0 FROM given g GROUP BY g.sequence ORDER BY g.sequence
      ON CONFLICT (sequence) DO UPDATE SET saved = greatest(o.saved, excluded.saved)
      RETURNING o.sequence, o.acknowledged
    ), kept AS (
      INSERT INTO ${s}.chunks (sequence, index, value)
      SELECT g.sequence, g.index, g.value FROM given g JOIN stream o ON o.sequence = g.sequence
        WHERE g.index >= o.acknowledged ORDER BY g.place
      ON CONFLICT DO NOTHING
    ) SELECT json_agg(DISTINCT g.id) INTO v_streams FROM given g;
  END IF;

  IF cardinality(p_r_id) > 0 THEN
    SELECT array_agg(q.sequence ORDER BY t.place), array_agg(q.entity_type ORDER BY t.place), array_agg(t.id ORDER BY t.place),
        array_agg(t.ok ORDER BY t.place), array_agg(t.data ORDER BY t.place)
      INTO v_sequences, v_types, v_ids, v_oks, v_texts
      FROM ${given("r")}
      ${lookedUp} WHERE v_held[t.fence] AND NOT (t.id = ANY (v_refused));
    DELETE FROM ${s}.pending p WHERE p.sequence = ANY (v_sequences);
    GET DIAGNOSTICS v_left = ROW_COUNT;
    WITH recorded AS (
      INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
      SELECT t.sequence, t.type, t.ok, t.data, p_now FROM unnest(v_sequences, v_types, v_oks, v_texts) AS t (sequence, type, ok, data)
      ON CONFLICT DO NOTHING RETURNING replies.sequence
    ) SELECT json_agg(v_ids[array_position(v_sequences, r.sequence)]), count(*) INTO v_recorded, v_count FROM recorded r;
    IF v_left < v_count THEN
      -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
      DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
    END IF;
    IF p_strict AND v_count < cardinality(p_r_id) THEN
      RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
    END IF;
  END IF;

  IF cardinality(p_d_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.attempts, t.error, t.since
        FROM ${given("d")}
        ${lookedUp} WHERE v_held[t.fence]
    ), gone AS (
      DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
    ) INSERT INTO ${s}.dead_letters (sequence, request_id, attempts, error, dead_since)
        SELECT g.sequence, g.id, g.attempts, g.error, g.since FROM gone JOIN given g ON g.sequence = gone.sequence;
  END IF;

  RETURN json_build_object('f', v_epochs, 'q', v_accepted, 'c', v_streams, 'r', v_recorded)::text;
END $fn$;`;
}

/**
 * Does for nearly every group what write_group_any_v9 does for any, for two thirds of the server's time: no row is inserted with
 * ON CONFLICT, which inserts it twice over (speculatively, and then for good), and none is looked up again to see what
 * became of it. Where something was there already or a shard was claimed again, nothing of it was done, and the other sorts
 * out what passes. Two transaction ids go to a group instead of one, and where something was there a group's dead rows.
 *
 * Duplicates of a key are no accident: callers who have one send it again as a matter of course, and a group with one is not
 * to be written twice. So whether there is one is asked first.
 *
 * A request that has its reply in the group is never pending (migration-13.ts).
 *
 * The shards are given in their order. Returns JSON: "s" the sequences of the requests, in their order, where everything
 * passed, or what the other says.
 */
export function writeGroup(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v10(
  ${TERMS},
  ${parametersOf("q", "u", "j", "r")}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_count int; v_left int; v_gated boolean; v_passes boolean; v_pending int := 0;
  v_accepted bigint[] := '{}'; v_sequences bigint[]; v_attempts int[]; v_moves boolean[]; v_times bigint[];
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
            FROM ${given("q", "id shard type entity attempts deliver_at")} WHERE t.attempts <> ${ANSWERED};
        GET DIAGNOSTICS v_pending = ROW_COUNT;
      END IF;
      ${updatePending(s, "").replaceAll("\n", "\n    ")}
      IF cardinality(p_j_key) > 0 THEN
        INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
          SELECT t.key, t.ordinal, t.position, t.kind, t.name, t.event, t.data, t.execution
            FROM ${given("j", "key ordinal position kind name event data execution")};
      END IF;
      IF cardinality(p_r_id) > 0 THEN
        ${replies(s)}
      END IF;
      RETURN json_build_object('s', v_accepted);
    EXCEPTION WHEN unique_violation THEN
      -- The block did nothing, then.
    END;
  END IF;
  ${leaveToAny(s)}
END $fn$;`;
}

/** What runners of version 9 call for such groups. */
function writeGroupOfVersion9(s: string): string {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v9(
  ${TERMS},
  ${parametersOf("q", "u", "j", "r")}
) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  ${leaveToAny(s)}
END $fn$;`;
}

function leaveToAny(s: string): string {
  return `RETURN ${s}.write_group_any_v9(false, p_gate, p_now, p_f_shard, p_f_epoch,
    ${argumentsOf("q", "u", "j")},
    ${noneOf("c")},
    ${argumentsOf("r")},
    ${noneOf("d")});`;
}

/** A dead letter that is answered after all is a dead letter no longer: it is what was not pending. */
function replies(s: string): string {
  return `WITH given AS MATERIALIZED (
          SELECT q.sequence, q.entity_type, t.ok, t.data FROM ${given("r", "id ok data")}
          ${lookedUpIn(s)}
        ), gone AS (
          DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
        ), recorded AS (
          INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
          SELECT g.sequence, g.entity_type, g.ok, g.data, p_now FROM given g
        ) SELECT array_agg(g.sequence), count(*), (SELECT count(*) FROM gone) INTO v_sequences, v_count, v_left FROM given g;
        IF v_count < cardinality(p_r_id) THEN
          -- Something is not known: the other says what.
          RAISE unique_violation;
        END IF;
        IF v_left < v_count - (cardinality(p_q_id) - v_pending) THEN
          DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
        END IF;`;
}

/** Each request of `t`, which has its id, as `q`. */
function lookedUpIn(s: string): string {
  return `CROSS JOIN LATERAL (
        SELECT o.sequence, o.entity_type FROM ${s}.requests o WHERE o.request_id = t.id OFFSET 0) q`;
}

/**
 * Writes the counts of attempts and the due times of p_u_*, of those of `t` that pass. Mostly all begin their first attempt: then
 * both columns are one value, none of them moves, and nothing is looked for. A place in an array takes the longer the more
 * there are.
 */
function updatePending(s: string, where: string): string {
  const place = "array_position(v_sequences, p.sequence)";
  return `IF cardinality(p_u_id) > 0 THEN
    SELECT array_agg(q.sequence), array_agg(t.attempts), array_agg(t.moves), array_agg(t.deliver_at)
      INTO v_sequences, v_attempts, v_moves, v_times
      FROM ${given("u")}
      ${lookedUpIn(s)} ${where};
    UPDATE ${s}.pending p
      SET attempts = CASE WHEN cardinality(p_u_attempts) = 1 THEN p_u_attempts[1] ELSE v_attempts[${place}] END,
        deliver_at = CASE WHEN p_u_moves <> '{f}' AND v_moves[${place}] THEN v_times[${place}] ELSE p.deliver_at END
      WHERE p.sequence = ANY (v_sequences);
  END IF;`;
}
