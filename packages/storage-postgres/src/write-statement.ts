// WriteStatement: the one call that writes a group, which for a single write is a function of its own.

import type { SqlStatement, SqlValue } from "./driver.ts";
import { rowsOf, writeGroupStatement } from "./write-group.ts";
import type { WriteOp } from "./write-op.ts";

/** The function that does one such write. A write without one goes as a group. */
const FUNCTIONS: Partial<Readonly<Record<WriteOp["type"], string>>> = {
  request: "write_request_v6",
  reply: "write_reply_v6",
  journal: "write_step_v6",
  update: "write_attempts_v6",
};

/**
 * The statement whose answer `writeGroupResults` reads.
 *
 * @param now wall time of answering, in ms
 */
export function writeStatement(schema: string, group: readonly WriteOp[], now: number): SqlStatement {
  const [op] = group;
  const functionName = op === undefined ? undefined : FUNCTIONS[op.type];
  if (op === undefined || functionName === undefined || group.length > 1)
    return writeGroupStatement(schema, group, false, now);
  const [row, ...others] = rowsOf(op);
  if (row === undefined || others.length > 0) return writeGroupStatement(schema, group, false, now);
  const fence = [op.fence?.shardId ?? null, op.fence?.epoch ?? null];
  const values: SqlValue[] = op.type === "reply" ? [...fence, Math.floor(now), ...row] : [...fence, ...row];
  const places = values.map((_, index) => `$${index + 1}`).join(", ");
  return {
    name: `holdfast_${functionName}`,
    text: `SELECT "${schema}".${functionName}(${places}) AS answer`,
    values,
  };
}
