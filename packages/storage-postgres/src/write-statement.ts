// WriteStatement: the one call that writes a group, or that commits one write with a handler's transaction.
//
// A single write has functions of its own: the one for groups reads fifty arrays, nearly all of them empty then.

import type { SqlStatement, SqlValue } from "./driver.ts";
import { anyGroupStatement, call, rowsOf, writeGroupStatement, type WriteTerms } from "./write-group.ts";
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

/** The statement whose answer `writeGroupResults` reads. */
export function writeStatement(schema: string, group: readonly WriteOp[], terms: WriteTerms): SqlStatement {
  const [op, ...others] = group;
  const single =
    op === undefined || others.length > 0 ? null : singleStatement(schema, WRITES, op, terms.now);
  return single ?? writeGroupStatement(schema, group, terms);
}

/**
 * The statement that writes one operation at the end of a handler's transaction, which fails where it does not pass.
 *
 * @param now wall time of answering, in ms
 */
export function commitStatement(schema: string, op: WriteOp, now: number): SqlStatement {
  return (
    singleStatement(schema, COMMITS, op, now) ?? anyGroupStatement(schema, [op], true, { now, gate: null })
  );
}

/** Null: no function does this write. */
function singleStatement(
  schema: string,
  functions: Functions,
  op: WriteOp,
  now: number,
): SqlStatement | null {
  const functionName = functions[op.type];
  const [row, ...others] = rowsOf(op);
  if (functionName === undefined || row === undefined || others.length > 0) return null;
  const fence = [op.fence?.shardId ?? null, op.fence?.epoch ?? null];
  const values: SqlValue[] = op.type === "reply" ? [...fence, Math.floor(now), ...row] : [...fence, ...row];
  return call(schema, functionName, values);
}
