// WriteStatement: the one call that writes a group, or that commits one write with a handler's transaction.
//
// A single write has functions of its own, or a statement: the one for groups reads fifty arrays, nearly all of them empty
// then.

import type { Reply } from "@holdfast/core/adapter";
import type { SqlStatement, SqlValue } from "./driver.ts";
import {
  anyGroupStatement,
  call,
  onlyRowOf,
  replyRow,
  rowOf,
  writeGroupStatement,
  type WriteTerms,
} from "./write-group.ts";
import type { WriteOp } from "./write-op.ts";

/** The functions of one kind, by what they write. What has none goes as a group. */
type Functions = Partial<Readonly<Record<WriteOp["type"], string>>>;

type RequestOp = Extract<WriteOp, { type: "request" }>;

/** They answer as the function for groups does. */
const WRITES: Functions = {
  request: "write_request_v6",
  reply: "write_reply_v6",
  journal: "write_step_v9",
  update: "write_attempts_v6",
};
/** They fail where the write does not pass. */
const COMMITS: Functions = { reply: "commit_reply_v3", journal: "commit_step_v9" };
/** What an entry violates whose ordinal is there already. */
export const JOURNAL_CONSTRAINT = "journal_by_key";

/** The statement whose answer `writeGroupResults` reads. */
export function writeStatement(schema: string, group: readonly WriteOp[], terms: WriteTerms): SqlStatement {
  const [op, ...others] = group;
  const single =
    op === undefined || others.length > 0 ? null : singleStatement(schema, WRITES, op, terms.now);
  return single ?? writeGroupStatement(schema, group, terms);
}

/** The statement that writes one operation at the end of a handler's transaction, which fails where it does not pass. */
export function commitStatement(
  schema: string,
  op: WriteOp,
  { now, isPrepared }: Pick<WriteTerms, "now"> & { readonly isPrepared: boolean },
): SqlStatement {
  const statement = singleStatement(schema, COMMITS, op, now);
  if (statement === null) return anyGroupStatement(schema, [op], true, { now, gate: null });
  return isPrepared && op.type === "journal" ? commitStep(schema, statement.values) : statement;
}

/** The epoch of the shard $1. A claim that came first shows in it, and one that comes later waits. */
function lockedFence(schema: string): string {
  return `fence AS MATERIALIZED (SELECT e.epoch FROM "${schema}".shards e WHERE e.shard_id = $1 FOR SHARE)`;
}

/**
 * What commit_step_v9 does, for a sixth less of the server's time if it is planned once: a tenth more activities with a
 * write of their own. That an entry is there already shows by its constraint.
 */
function commitStep(schema: string, values: readonly SqlValue[]): SqlStatement {
  return {
    name: "holdfast_commit_step",
    text: `WITH ${lockedFence(schema)}
      INSERT INTO "${schema}".journal (key, ordinal, position, kind, name, event, data, execution)
      SELECT $3, $4, $5, $6, $7, $8, $9, $10 FROM (SELECT) one LEFT JOIN fence ON true
        WHERE CASE WHEN fence.epoch = $2 THEN true ELSE "${schema}".refuse_fence_v9(fence.epoch) END`,
    values,
  };
}

/** A request that has its reply with it, which is never pending. It is in no function: this is two inserts. */
function answeredRequest(schema: string, op: RequestOp, reply: Reply, now: number): SqlStatement {
  const [, ok = null, data = null] = replyRow(reply);
  // Its attempts are of no account any more.
  const row = rowOf(op).slice(0, -1);
  return {
    name: "holdfast_answered_request",
    text: `WITH ${lockedFence(schema)},
      accepted AS (
        INSERT INTO "${schema}".requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers,
            expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at)
          SELECT $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19 FROM fence WHERE fence.epoch = $2
          ON CONFLICT DO NOTHING RETURNING requests.request_id, requests.entity_type, requests.sequence
      ), answered AS (
        INSERT INTO "${schema}".replies (sequence, entity_type, ok, data, answered_at)
          SELECT a.sequence, a.entity_type, $4, $5, $3 FROM accepted a
      )
      SELECT json_build_object('f', json_build_array((SELECT fence.epoch FROM fence)),
        'q', (SELECT json_object_agg(a.request_id, a.sequence) FROM accepted a))::text AS answer`,
    values: [op.fence?.shardId ?? null, op.fence?.epoch ?? null, Math.floor(now), ok, data, ...row],
  };
}

/** Null: no function does this write. */
function singleStatement(
  schema: string,
  functions: Functions,
  op: WriteOp,
  now: number,
): SqlStatement | null {
  const functionName = functions[op.type];
  if (op.type === "request" && op.reply !== undefined) return answeredRequest(schema, op, op.reply, now);
  const row = functionName === undefined ? null : onlyRowOf(op);
  if (functionName === undefined || row === null) return null;
  const fence = [op.fence?.shardId ?? null, op.fence?.epoch ?? null];
  const values: SqlValue[] = op.type === "reply" ? [...fence, Math.floor(now), ...row] : [...fence, ...row];
  return call(schema, functionName, values);
}
