// WriteStatement: the one call that writes a group, or that commits one write with a handler's transaction.
//
// A single write has functions of its own, or a statement: the one for groups reads fifty arrays, nearly all of them empty
// then.

import type { SqlStatement, SqlValue } from "./driver.ts";
import { anyGroupStatement, call, onlyRowOf, writeGroupStatement, type WriteTerms } from "./write-group.ts";
import type { WriteOp } from "./write-op.ts";

/** The functions of one kind, by what they write. What has none goes as a group. */
type Functions = Partial<Readonly<Record<WriteOp["type"], string>>>;

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

/**
 * What commit_step_v9 does, for a sixth less of the server's time if it is planned once: a tenth more activities with a
 * write of their own. That an entry is there already shows by its constraint.
 */
function commitStep(schema: string, values: readonly SqlValue[]): SqlStatement {
  return {
    name: "holdfast_commit_step",
    text: `WITH fence AS MATERIALIZED (SELECT e.epoch FROM "${schema}".shards e WHERE e.shard_id = $1 FOR SHARE)
      INSERT INTO "${schema}".journal (key, ordinal, position, kind, name, event, data, execution)
      SELECT $3, $4, $5, $6, $7, $8, $9, $10 FROM (SELECT) one LEFT JOIN fence ON true
        WHERE CASE WHEN fence.epoch = $2 THEN true ELSE "${schema}".refuse_fence_v9(fence.epoch) END`,
    values,
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
  const row = functionName === undefined ? null : onlyRowOf(op);
  if (functionName === undefined || row === null) return null;
  const fence = [op.fence?.shardId ?? null, op.fence?.epoch ?? null];
  const values: SqlValue[] = op.type === "reply" ? [...fence, Math.floor(now), ...row] : [...fence, ...row];
  return call(schema, functionName, values);
}
