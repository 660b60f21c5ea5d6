// The typed client of a workflow: starts executions, finds them, and gives their handles.

import { copyOf } from "../contract/copy-of.ts";
import { checkGivenDefinition } from "../contract/given-definition.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import { checkKey, hashOf } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { encodePayload } from "../contract/payload.ts";
import { parse } from "../contract/schema.ts";
import {
  EXECUTE,
  type AnyWorkflowContract,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { CallOptions } from "./call-options.ts";
import type { CallTarget, Caller } from "./caller.ts";
import type { ExecutionAccess } from "./execution-access.ts";
import { listExecutions, type ExecutionFilter, type ExecutionSummary } from "./execution-listing.ts";
import { executionTarget } from "./execution-target.ts";
import { AS_LONG_AS_IT_TAKES, schemaWait, type SchemaWait } from "./schema-wait.ts";
import { workflowHandle, type WorkflowHandle } from "./workflow-handle.ts";

/** Options of `execute` and `start`. */
export type ExecuteOptions = Pick<CallOptions, "timeout" | "signal" | "headers">;

const OPTION_NAMES: OptionNames<ExecuteOptions> = { timeout: true, signal: true, headers: true };

/** Starts executions of one workflow. Those of one key are one execution, which keeps the input that came first. */
export interface WorkflowStarter<T extends WorkflowTypes> {
  /**
   * Starts or joins, and waits for the end. A caller that stops waiting leaves the execution as it is.
   *
   * @throws {WorkflowFailedError} it ended with an error, which is the cause
   * @throws {WorkflowCancelledError} it was cancelled
   * @throws {NonDeterminismError} outside of handlers, activities and workflows: it has not ended, and waits for fixed code
   */
  execute(...args: InputArguments<T["callerInput"], ExecuteOptions>): Promise<T["callerOutput"]>;
  /** Starts or joins; the execution is durable when this resolves. */
  start(...args: InputArguments<T["callerInput"], ExecuteOptions>): Promise<WorkflowHandle<T>>;
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
  /** Executions, the newest first: all that match, or as many as `limit` says. */
  list(filter?: ExecutionFilter): AsyncIterableIterator<ExecutionSummary<T["callerInput"]>>;
}

/** Where workflow clients come from: `workflow` of a cluster or a context. */
export type WorkflowClients = <T extends WorkflowTypes>(definition: WorkflowContract<T>) => WorkflowClient<T>;

/** A client is made once for each workflow: who starts executions asks for it each time. */
export function workflowClients(caller: Caller, access: ExecutionAccess): WorkflowClients {
  const clients = new WeakMap<AnyWorkflowContract, WorkflowClient<WorkflowTypes>>();
  return ((contract: AnyWorkflowContract) => {
    const known = clients.get(contract);
    if (known !== undefined) return known;
    checkGivenDefinition("workflow", contract);
    const client = Object.freeze(workflowClient(caller, access, contract));
    clients.set(contract, client);
    return client;
  }) as WorkflowClients;
}

function workflowClient(
  caller: Caller,
  access: ExecutionAccess,
  contract: AnyWorkflowContract,
): WorkflowClient<WorkflowTypes> {
  const handle = (executionId: string): WorkflowHandle<WorkflowTypes> =>
    workflowHandle(caller, access, contract, executionId);
  const starter = (idOf: (input: unknown) => string): WorkflowStarter<WorkflowTypes> => {
    const targetOf = async (
      input: unknown,
      options: ExecuteOptions = {},
    ): Promise<{ target: CallTarget; wait: SchemaWait | undefined }> => {
      checkOptionNames(options, OPTION_NAMES);
      // Its key, and so its id, is known once its input is parsed: it may have been started before.
      const what = `An execution of ${contract.name}`;
      const wait = schemaWait(access.clock, { ...options, what, hasKey: true });
      const parsed = await parse(
        contract.input,
        input,
        `The input of the workflow ${contract.name}`,
        wait ?? AS_LONG_AS_IT_TAKES,
      );
      const target = executionTarget(contract, idOf(parsed), EXECUTE);
      return { target: wait?.since(target) ?? target, wait };
    };
    return {
      async execute(given, optionsGiven) {
        // As they are now: the id is taken out of the input before that is sent.
        const [input, options] = [copyOf(given), copyOf(optionsGiven)];
        const { target, wait } = await targetOf(input, options);
        const output = await caller.call(target, input, options);
        return parse(contract.output, output, `The result of ${contract.name}`, wait?.sent());
      },
      async start(given, optionsGiven) {
        const [input, options] = [copyOf(given), copyOf(optionsGiven)];
        const { target } = await targetOf(input, options);
        await caller.notify(target, input, options);
        return handle(target.entityId);
      },
    };
  };
  return {
    ...starter((input) => executionIdOf(contract, input)),
    poll: async (executionId) => handle(checkKey(executionId, "executionId")).poll(),
    withKey: (key) => starter(() => hashOf(checkKey(key, "key"))),
    withRawKey: (key) => starter(() => checkKey(key, "key")),
    get: (executionId) => handle(checkKey(executionId, "executionId")),
    list: (filter) => listExecutions(access, contract, filter),
  };
}

/** The id of the execution of an input, parsed. */
export function executionIdOf(contract: AnyWorkflowContract, input: unknown): string {
  if (contract.key === null) return hashOf(encodePayload(input, `The input of ${contract.name}`));
  const key = checkKey(contract.key(input as never), "key");
  return contract.hashKey ? hashOf(key) : key;
}
