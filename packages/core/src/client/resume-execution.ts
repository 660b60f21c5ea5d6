import { EXECUTION_TAGS, WAKE } from "../contract/workflow-contract.ts";
import { CANCELLED_CODE } from "../data/execution-record.ts";
import { resumeEntry, resumption } from "../workflow/resumption.ts";
import type { AddressedExecution } from "./addressed-execution.ts";
import { inspect } from "./execution-description.ts";

/** Has an execution go on that failed, is a dead letter, or waits for fixed code: `resume()` of its handle. */
export async function resumeExecution(execution: AddressedExecution): Promise<void> {
  const { caller, access } = execution;
  const state = await execution.known();
  if (state.state === "dead") {
    const address = await access.messages().requeueDeadLetter(state.requestId, EXECUTION_TAGS.execution);
    if (address !== null) access.wakeOwner(address.shardId);
    return;
  }
  const what = "resume()";
  const failed = "It takes an execution that has failed; fork() takes any.";
  if (state.state === "pending") {
    const isParked = (await inspect(execution))?.parked;
    if (isParked) return caller.notify({ ...execution.to(WAKE), isKept: true }, null);
  }
  if (state.state === "pending" || state.reply.exit.ok) throw await execution.refusal(what, failed);
  const { error } = state.reply.exit;
  if (error.code === CANCELLED_CODE) throw await execution.refusal(what, failed);
  const stored = await execution.stored();
  const resumed = resumption(stored, error);
  if (resumed === null)
    throw await execution.refusal(
      what,
      "Its compensations have run, and what they undid would be missing: fork() it, or start a new execution.",
    );
  const changes = { forget: resumed.forget, entry: resumeEntry(stored, resumed) };
  const address = await access.workflows().reopenExecution(execution.key, state.requestId, changes);
  if (address === null) throw await execution.refusal(what, "Somebody else resumed it.");
  access.wakeOwner(address.shardId);
}
