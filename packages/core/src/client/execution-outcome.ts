import type { RequestState } from "../adapter/message-storage.ts";
import { answerOf } from "../contract/answers.ts";
import { decodePayload } from "../contract/payload.ts";
import { parse, type PendingSchema } from "../contract/schema.ts";
import { errorsOf, type AnyWorkflowContract } from "../contract/workflow-contract.ts";
import { DeadLetteredError } from "../errors/storage.ts";

/** What an execution came to. Its output is parsed for as long as `wait` allows. Rejects with the error with which it ended. */
export async function outcome(
  contract: AnyWorkflowContract,
  state: Exclude<RequestState, { state: "pending" }>,
  wait?: PendingSchema,
): Promise<unknown> {
  if (state.state === "dead") {
    const { requestId, deadLetter } = state;
    throw new DeadLetteredError({
      requestId,
      what: `An execution of ${contract.name}`,
      attempts: deadLetter.attempts,
      reason: deadLetter.error.message,
    });
  }
  const { exit } = state.reply;
  if (!exit.ok) throw answerOf(exit.error, errorsOf(contract), null);
  return parse(
    contract.output,
    decodePayload(exit.value, `The result of ${contract.name}`),
    `The result of ${contract.name}`,
    wait,
  );
}
