import type { SqlStatement, SqlValue } from "./driver.ts";
import { errorText, eventColumns, writeGroupStatement } from "./write-group.ts";
import type { WriteOp } from "./write-op.ts";

/**
 * The statement that writes one operation at the end of a handler's transaction, which fails where it does not pass.
 *
 * @param now wall time of answering, in ms
 */
export function commitStatement(schema: string, op: WriteOp, now: number): SqlStatement {
  if (op.type === "reply") {
    const { requestId, exit } = op.reply;
    const data = exit.ok ? exit.value : errorText(exit.error);
    const { shardId, epoch } = op.fence;
    return call(schema, "commit_reply_v3", [shardId, epoch, Math.floor(now), requestId, exit.ok, data]);
  }
  const [entry, ...others] = op.type === "journal" ? op.entries : [];
  if (op.type !== "journal" || entry === undefined || others.length > 0)
    return writeGroupStatement(schema, [op], true, now);
  const { ordinal, position, kind, name } = entry;
  return call(schema, "commit_step_v3", [
    op.fence.shardId,
    op.fence.epoch,
    op.execution.entityType,
    op.execution.executionId,
    ordinal,
    position,
    kind,
    name,
    ...eventColumns(entry.event),
  ]);
}

function call(schema: string, functionName: string, values: readonly SqlValue[]): SqlStatement {
  const places = values.map((_, index) => `$${index + 1}`).join(", ");
  return {
    name: `holdfast_${functionName}`,
    text: `SELECT "${schema}".${functionName}(${places}) AS committed`,
    values,
  };
}
