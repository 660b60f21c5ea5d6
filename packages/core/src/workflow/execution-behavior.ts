// Execution behavior: what runs a workflow's executions as entities of its hidden type.
//
//   B1  At most one copy of an execution runs here. What comes for it while it is in memory goes to that copy; else it is
//       in the inbox, and the execution is woken. It comes in the order in which it was accepted: one that has to be
//       tried again holds up those behind it.
//   B2  Only the one request that storage keeps for an execution runs it. Another one would run its code beside that, over a
//       journal that it does not share.

import type { InboxMessage } from "../adapter/workflow-storage.ts";
import { decodePayload } from "../contract/payload.ts";
import { parse } from "../contract/schema.ts";
import {
  CANCEL,
  EXECUTE,
  EXECUTION_TAGS,
  INSPECT,
  QUERY,
  QUEUED_TAGS,
  SIGNAL,
  WAKE,
  WATCH,
  type AnyWorkflowContract,
  type Inspection,
  type NamedMessage,
  type Watcher,
} from "../contract/workflow-contract.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Call, EntityBehavior, Handler, Handlers } from "../entity/behavior.ts";
import { DefinitionError } from "../errors/config.ts";
import { SerializationError } from "../errors/storage.ts";
import { ExecutionRunner } from "./execution-runner.ts";
import type { ExecutionServices } from "./execution-services.ts";
import { recordedRun } from "./recorded-run.ts";
import type { WorkflowCode } from "./workflow-code.ts";

export function executionBehavior(
  contract: AnyWorkflowContract,
  services: ExecutionServices,
  code: WorkflowCode,
): EntityBehavior {
  const runner = new ExecutionRunner(contract, services, code);
  const receive: Handler = async (input, { envelope, fence }) => {
    const { address, requestId, tag, payload } = envelope;
    const message: InboxMessage = { requestId, tag, payload };
    // A wake is in no inbox: a copy that is about to leave memory must come back for it.
    const isTaken = (): boolean => tag !== WAKE && runner.receive(address.entityId, message);
    if (isTaken()) return;
    // No copy is here that takes it. It is in the inbox, so the next one has it from there.
    const state = await services.lookUp(address.entityType, address.entityId);
    // A new one that began meanwhile did not look there.
    if (isTaken()) return;
    if (tag === WATCH) {
      // What was forgotten has no end that anybody else would be woken for. One that ends at this moment, or is about to leave
      // memory, may have read its inbox before: better woken in vain.
      if (state?.state !== "pending" || services.isHosted(state.requestId))
        await services.wake(input as Watcher);
    } else if (state?.state === "pending") await services.hasten(state, fence);
  };
  const query = async (input: unknown, { envelope }: Call): Promise<unknown> => {
    const { name, payload } = input as NamedMessage;
    const definition = contract.queries[name];
    const answer = code.queries.get(name);
    const what = `The query ${name} of ${contract.name}`;
    if (answer === undefined) throw new Error(`${what} is not implemented here.`);
    const state = await stateOf(envelope.address);
    const answered: unknown = await answer(state, await parse(definition?.input, payload, what));
    await parse(definition?.output, answered, `The answer of the query ${name} of ${contract.name}`);
    return answered;
  };
  const stateOf = async (address: EntityAddress): Promise<unknown> => {
    const executionId = address.entityId;
    const copy = runner.copyOf(executionId);
    const text =
      copy === undefined
        ? recordedRun(
            await services.storage.readExecution(
              { entityType: address.entityType, executionId },
              EXECUTION_TAGS,
            ),
          ).state
        : copy.state;
    return text === null ? undefined : decodePayload(text, `The state of ${contract.name}`);
  };
  const inspect = (_input: unknown, { envelope, fence }: Call): Inspection => ({
    parked: runner.parked.errorOf(envelope.address.entityId, fence),
    open: runner.copyOf(envelope.address.entityId)?.openSteps ?? [],
  });
  const execute: Handler = (input, call) => {
    const { persisted, deduplicationKey } = call.envelope;
    if (!persisted || deduplicationKey !== EXECUTE) throw notItsRequest(contract.name);
    return runner.run(input, call);
  };
  const handlers: Handlers = {
    [EXECUTE]: execute,
    [SIGNAL]: receive,
    [CANCEL]: receive,
    [WATCH]: receive,
    [WAKE]: receive,
    [QUERY]: query,
    [INSPECT]: inspect,
  };
  return {
    contract: contract.entity,
    queued: QUEUED_TAGS,
    // What a copy had begun is recorded when it leaves in order. Cut short, it may not have come to that: the next copy must
    // not take it that nothing has begun.
    countsCutAttempt: true,
    keepsNothing: true,
    handlers,
    // Another release may have stored it. A message stays in the inbox for the copy that can read it.
    unread(error, tag) {
      if (!(error instanceof SerializationError)) return null;
      if (tag === EXECUTE) return (_input, call) => runner.parkUnread(call, error);
      return tag === SIGNAL || tag === CANCEL ? receive : null;
    },
    burying: (address) => runner.wakeWatchersOf(address),
    failureOf: ({ address, tag }, fence) =>
      tag === EXECUTE ? runner.parked.failureOf(address.entityId, fence) : null,
    waiting: (fence) => runner.parked.under(fence).map((executionId) => `${contract.name}/${executionId}`),
  };
}

function notItsRequest(workflow: string): DefinitionError {
  return new DefinitionError(
    `An execution of ${workflow} was asked for by a request to its entity, and nothing was run: it could run twice so. ` +
      `Start it with the workflow's client, cluster.workflow(${workflow}).start(input).`,
  );
}
