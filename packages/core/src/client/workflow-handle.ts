// The typed client of a workflow, and the handle of one execution.

import { createHash } from "node:crypto";
import { decodeError } from "../contract/error-codec.ts";
import { checkKey } from "../contract/key.ts";
import { decodePayload, encodePayload } from "../contract/payload.ts";
import { parse } from "../contract/schema.ts";
import {
  EXECUTE,
  type AnyWorkflowContract,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { RequestState } from "../adapter/message-storage.ts";
import { DeadLetteredError } from "../errors/storage.ts";
import { UnknownExecutionError } from "../errors/workflow.ts";
import type { CallOptions, CallTarget, Caller } from "./caller.ts";

/** Options of `execute` and `start`. */
export type ExecuteOptions = Pick<CallOptions, "timeout" | "signal" | "headers">;

/** One execution. */
export interface WorkflowHandle<T extends WorkflowTypes> {
  readonly executionId: string;
  /** Waits for the end. @throws {WorkflowFailedError} it ended with an error, which is the cause */
  result(options?: Pick<CallOptions, "timeout" | "signal">): Promise<T["callerOutput"]>;
  /** The result, or undefined while it runs. @throws {WorkflowFailedError} */
  poll(): Promise<T["callerOutput"] | undefined>;
}

/** Starts executions of one workflow. Those of one key are one execution, which keeps the input that came first. */
export interface WorkflowStarter<T extends WorkflowTypes> {
  /** Starts or joins, and waits for the end. A caller that stops waiting leaves the execution as it is. @throws {WorkflowFailedError} */
  execute(input: T["callerInput"], options?: ExecuteOptions): Promise<T["callerOutput"]>;
  /** Starts or joins; the execution is durable when this resolves. */
  start(input: T["callerInput"], options?: ExecuteOptions): Promise<WorkflowHandle<T>>;
}

/** What `cluster.workflow(Definition)` returns. */
export interface WorkflowClient<T extends WorkflowTypes> extends WorkflowStarter<T> {
  /** The result of an execution, or undefined while it runs or if there is none of this id. @throws {WorkflowFailedError} */
  poll(executionId: string): Promise<T["callerOutput"] | undefined>;
  /** Executions named by a hash of this key, whatever the definition's key says. */
  withKey(key: string): WorkflowStarter<T>;
  /** Executions whose id is this very key. */
  withRawKey(executionId: string): WorkflowStarter<T>;
  /** The handle of an execution. Nothing is sent. */
  get(executionId: string): WorkflowHandle<T>;
}

/** Where workflow clients come from: `workflow` of a cluster or a context. */
export type WorkflowClients = <T extends WorkflowTypes>(definition: WorkflowContract<T>) => WorkflowClient<T>;

export function workflowClients(caller: Caller): WorkflowClients {
  return ((contract: AnyWorkflowContract) => workflowClient(caller, contract)) as WorkflowClients;
}

function workflowClient(caller: Caller, contract: AnyWorkflowContract): WorkflowClient<WorkflowTypes> {
  const byDefinition = starter(caller, contract, (input) => executionIdOf(contract, input));
  return {
    ...byDefinition,
    poll: (executionId) => handle(caller, contract, executionId).poll(),
    withKey: (key) => starter(caller, contract, () => hashOf(checkKey(key, "key"))),
    withRawKey: (key) => starter(caller, contract, () => checkKey(key, "key")),
    get: (executionId) => handle(caller, contract, checkKey(executionId, "executionId")),
  };
}

function starter(
  caller: Caller,
  contract: AnyWorkflowContract,
  idOf: (input: unknown) => string,
): WorkflowStarter<WorkflowTypes> {
  const targetOf = async (input: unknown): Promise<CallTarget> => {
    const parsed = await parse(contract.input, input, `the workflow ${contract.name}`);
    return target(contract, idOf(parsed));
  };
  return {
    async execute(input, options) {
      const output = await caller.call(await targetOf(input), input, options);
      return parse(contract.output, output, `the result of ${contract.name}`);
    },
    async start(input, options) {
      const execution = await targetOf(input);
      await caller.notify(execution, input, options);
      return handle(caller, contract, execution.entityId);
    },
  };
}

function handle(
  caller: Caller,
  contract: AnyWorkflowContract,
  executionId: string,
): WorkflowHandle<WorkflowTypes> {
  const execution = target(contract, executionId);
  return {
    executionId,
    async result(options) {
      const state = await caller.lookUpByKey(execution, EXECUTE);
      if (state === null) throw new UnknownExecutionError({ workflow: contract.name, executionId });
      if (state.state !== "pending") return outcome(contract, state);
      // The execution is known by its key, so this joins it, and its input stays what it was.
      const output = await caller.call(execution, undefined, options);
      return parse(contract.output, output, `the result of ${contract.name}`);
    },
    async poll() {
      const state = await caller.lookUpByKey(execution, EXECUTE);
      return state === null || state.state === "pending" ? undefined : outcome(contract, state);
    },
  };
}

async function outcome(
  contract: AnyWorkflowContract,
  state: Exclude<RequestState, { state: "pending" }>,
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
  if (!exit.ok) throw decodeError(exit.error, contract.entity.rpcs[EXECUTE]?.errors ?? []);
  return parse(
    contract.output,
    decodePayload(exit.value, `The result of ${contract.name}`),
    `the result of ${contract.name}`,
  );
}

function target(contract: AnyWorkflowContract, executionId: string): CallTarget {
  return { contract: contract.entity, entityId: executionId, tag: EXECUTE, fromInside: true };
}

function executionIdOf(contract: AnyWorkflowContract, input: unknown): string {
  if (contract.key === null) return hashOf(encodePayload(input, `The input of ${contract.name}`));
  const key = checkKey(contract.key(input as never), "key");
  return contract.hashKey ? hashOf(key) : key;
}

function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}
