// Child workflows: executions that an execution starts, and whose ends it waits for, as its steps.

import type { RequestState } from "../adapter/message-storage.ts";
import { copyOf } from "../contract/copy-of.ts";
import { checkGivenDefinition } from "../contract/given-definition.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import { hashOf } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { decodePayload } from "../contract/payload.ts";
import { parse, type SchemaInput } from "../contract/schema.ts";
import {
  CANCEL,
  cancellationKey,
  EXECUTE,
  SIGNAL,
  WATCH,
  errorsOf,
  hasSignal,
  type AnyWorkflowContract,
  type Watcher,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import { DefinitionError } from "../errors/config.ts";
import { executionTarget, untypedTarget } from "../client/execution-target.ts";
import { executionIdOf } from "../client/workflow-client.ts";
import { signalKey } from "../client/workflow-handle.ts";
import { callStep } from "../workflow/call-step.ts";
import { childStep, type ChildCalls, type ChildOfStep } from "../workflow/child-step.ts";
import type { CancellableChild } from "../workflow/children.ts";
import type { Perform } from "../workflow/step.ts";
import { unattended } from "../workflow/unattended.ts";
import type { WorkflowContextParts, WorkflowServices } from "./context-parts.ts";

/** Options of a child workflow. */
export interface ChildOptions {
  /** Whether it goes on when its parent is cancelled. Default false: it is cancelled, too. */
  readonly detached?: boolean;
}

const OPTION_NAMES: OptionNames<ChildOptions> = { detached: true };
/** To this wall time a start is put off that is to be cancelled before it begins: the year 9999. */
const NEVER = 253_370_764_800_000;
/** A child that is due no sooner than this surely is not at work: far more than clocks of runners differ. */
const ASLEEP_MS = 60_000;

/** A workflow as its parent's code calls it. */
export interface ChildWorkflow<T extends WorkflowTypes> {
  /** Starts or joins, and waits for the end. @throws {WorkflowFailedError} @throws {WorkflowCancelledError} */
  execute(...args: InputArguments<T["callerInput"], ChildOptions>): Promise<T["callerOutput"]>;
  /** Starts or joins; the child is durable when this resolves. */
  start(...args: InputArguments<T["callerInput"], ChildOptions>): Promise<ChildHandle<T>>;
}

/** A child that was started. Each call is a step. */
export interface ChildHandle<T extends WorkflowTypes> {
  readonly executionId: string;
  /** Waits for the end. @throws {WorkflowFailedError} @throws {WorkflowCancelledError} */
  result(): Promise<T["callerOutput"]>;
  signal<Name extends keyof T["signals"] & string>(
    name: Name,
    ...args: InputArguments<SchemaInput<T["signals"][Name]>, never>
  ): Promise<void>;
  cancel(reason?: string): Promise<void>;
}

/** Where a context's children come from. */
export type ChildWorkflows = <T extends WorkflowTypes>(definition: WorkflowContract<T>) => ChildWorkflow<T>;

export function childWorkflows(parts: WorkflowContextParts): ChildWorkflows {
  return ((contract: AnyWorkflowContract) => childWorkflow(parts, contract)) as ChildWorkflows;
}

function childWorkflow(
  parts: WorkflowContextParts,
  contract: AnyWorkflowContract,
): ChildWorkflow<WorkflowTypes> {
  checkGivenDefinition("workflow", contract);
  const { execution, children } = parts;
  const step = (
    name: string,
    of: Pick<ChildOfStep, "does" | "isDetached">,
    calls: (place: string) => Promise<ChildCalls>,
    content?: () => unknown,
  ): Promise<unknown> => {
    const isCancelledWithIt = !of.isDetached && !children.cleanUp;
    // Asked now: code that ends while it is replayed waits for what it has started, too.
    const known = of.isDetached || of.does === "join" ? () => undefined : children.asking();
    // A child that goes on without its parent is waited for, and no more.
    const role = of.isDetached && of.does !== "start" ? "wait" : "child";
    const perform: Perform = (asked) =>
      childStep(asked, execution.scope, {
        ...of,
        calls: () => calls(asked.place),
        cancelledFor: () => (isCancelledWithIt ? children.cancelledFor : null),
        known,
        ended: (child) => children.ended(child),
      });
    const request = { kind: "child", name, role, content, errors: errorsOf(contract) } as const;
    const outcome = execution.step(request, perform, (event, place) => {
      // The code does not say any more that the child was started, or has ended.
      if (of.does === "join" && event !== null) void calls(place).then((child) => children.ended(child));
      known(of.does === "start" && event?.type === "completed" ? startedAs(event.value) : null);
    });
    // What is recorded of it is not done again.
    outcome.then(
      () => known(null),
      () => known(null),
    );
    return outcome;
  };
  // For who is only to be told of: nothing is started.
  const startedAs = (recorded: string): ChildCalls =>
    callsOf(parts, contract, String(decodePayload(recorded, "The id of a child")), undefined);
  const byInput = (input: unknown) => async (place: string) => {
    const id = await idOf(parts, contract, input, place);
    const { entityType, entityId } = parts.call.envelope.address;
    if (contract.entity.name === entityType && id === entityId)
      throw new DefinitionError(
        `The execution ${id} of ${contract.name} asked for itself as its child: it would wait for its own end. ` +
          "Give the child another key, or begin anew with continueAsNew.",
      );
    return callsOf(parts, contract, id, input);
  };
  const start = async (given: unknown, options?: ChildOptions): Promise<ChildHandle<WorkflowTypes>> => {
    // As it is now: the code may change it before the child is started.
    const input = copyOf(given);
    // What a fork takes over its origin has started, and goes on with.
    const detached = isDetached(options) || execution.isTakenOver;
    const isCancelledWithIt = !detached && !children.cleanUp;
    const id = await step(
      `${contract.name}.start`,
      { does: "start", isDetached: detached },
      byInput(input),
      () => input,
    );
    const executionId = String(id);
    const calls = callsOf(parts, contract, executionId, input);
    // Also where the start was recorded by an earlier copy.
    if (isCancelledWithIt) children.started(calls);
    const ended = (): void => children.ended(calls);
    return childHandle(parts, contract, calls, () => {
      const result = step(
        `${contract.name}.result`,
        { does: "join", isDetached: detached },
        async () => calls,
      );
      // Also where its end was recorded by an earlier copy. Once it is cancelled, all were told already.
      result.then(ended, (error: unknown) => {
        // The body of an activity that asks is refused, and hears nothing of the child.
        if (!(error instanceof DefinitionError)) ended();
      });
      return result;
    });
  };
  return {
    execute: (given, options) => {
      const input = copyOf(given);
      const does = { does: "execute", isDetached: isDetached(options) } as const;
      return step(contract.name, does, byInput(input), () => input);
    },
    start: (input, options) => unattended(start(input, options)),
  };
}

/** @throws {ConfigError} there is no such option */
function isDetached(options: ChildOptions = {}): boolean {
  checkOptionNames(options, OPTION_NAMES);
  return options.detached ?? false;
}

function childHandle(
  { execution, services }: WorkflowContextParts,
  contract: AnyWorkflowContract,
  calls: ChildCalls,
  join: () => Promise<unknown>,
): ChildHandle<WorkflowTypes> {
  const { executionId } = calls.address;
  // Asked for when something is sent: where a journal is only replayed, nobody is called.
  const handle = () => services.workflow(contract).get(executionId);
  const send = async (
    name: string,
    content: readonly unknown[],
    call: (key: string, signal: AbortSignal, isFirst: boolean) => Promise<unknown>,
  ): Promise<void> => {
    const request = { kind: "rpc", name, role: "work", content: () => [executionId, ...content] } as const;
    await execution.step(request, (step) =>
      callStep(step, execution.scope, { isJoinable: true, send: call }),
    );
  };
  return {
    executionId,
    result: join,
    signal: (name, given) => {
      const payload = copyOf(given);
      return unattended(
        send(`${contract.name}.signal`, [name, payload], async (idempotencyKey, _signal, isFirst) => {
          if (isFirst || !hasSignal(contract, name))
            return handle().signal(name, payload, { idempotencyKey });
          // One that was sent before may have ended the child: then its end says nothing about the signal.
          await parse(
            contract.signals?.[name],
            payload,
            `The input of the signal ${name} of ${contract.name}`,
          );
          const isKept = (await services.lookUp(contract.entity.name, executionId))?.state === "pending";
          const target = { ...executionTarget(contract, executionId, SIGNAL), isKept };
          const input = { name, payload };
          return services.notifyEntity(target, input, { idempotencyKey: signalKey(name, idempotencyKey) });
        }),
      );
    },
    cancel: (reason) => unattended(send(`${contract.name}.cancel`, [reason], () => handle().cancel(reason))),
  };
}

/** A child is named as its callers name it; without a key, by its parent and its place there. */
async function idOf(
  { execution }: WorkflowContextParts,
  contract: AnyWorkflowContract,
  input: unknown,
  place: string,
): Promise<string> {
  const parsed = await parse(contract.input, input, `The input of the workflow ${contract.name}`);
  if (contract.key !== null) return executionIdOf(contract, parsed);
  return hashOf(execution.scope.keyOf(place));
}

function callsOf(
  { call, services, contract: parent }: WorkflowContextParts,
  contract: AnyWorkflowContract,
  executionId: string,
  input: unknown,
): ChildCalls {
  const client = () => services.workflow(contract as WorkflowContract);
  const { entityType, entityId } = call.envelope.address;
  const watcher = { entityType, executionId: entityId, shardGroup: parent.entity.shardGroup };
  const { name, shardGroup } = contract.entity;
  const address = { entityType: name, executionId, shardGroup };
  return {
    address,
    isStarted: async () => (await services.lookUp(name, executionId)) !== null,
    start: async () => void (await client().withRawKey(executionId).start(input)),
    forestall: async (reason) => {
      const deliverAt = new Date(NEVER);
      const target = { ...executionTarget(contract, executionId, EXECUTE), isKept: true };
      await services.notifyEntity(target, input, { deliverAt });
      const known = await services.lookUp(name, executionId);
      if (known?.state !== "pending" || known.deliverAt !== NEVER) return known !== null;
      await cancelChild(services, address, reason);
      return false;
    },
    join: (signal) => client().get(executionId).result({ signal }),
    // Each is a request of its own: one that comes after the child's end is answered by a wake, however often it was sent. But a
    // child that sleeps has the one that is there when it wakes, and needs no second: parents come back each hour, perhaps for
    // years.
    watch: async () => {
      const known = await services.lookUp(name, executionId);
      const dueAt = known?.state === "pending" ? (known.deliverAt ?? 0) : 0;
      const isAsleep = dueAt - services.clock.now() > ASLEEP_MS;
      const idempotencyKey = isAsleep
        ? `${call.envelope.requestId} ${known?.requestId}`
        : services.random.id();
      const target = { ...executionTarget(contract, executionId, WATCH), isKept: true };
      await services.notifyEntity(target, watcher, { idempotencyKey });
    },
    cancel: (reason) => cancelChild(services, address, reason),
  };
}

/** A child that an earlier run of its parent has started. */
export function inheritedChild(services: WorkflowServices, address: Watcher): CancellableChild {
  return {
    address,
    cancel: (reason) => cancelChild(services, address, reason),
    hasEnded: async () => (await requestOf(services, address)) === null,
  };
}

/** One that has ended or is gone needs no cancelling, and what would be left of it must not reach the next one of its key. */
async function cancelChild(services: WorkflowServices, child: Watcher, reason: string): Promise<void> {
  const known = await requestOf(services, child);
  if (known === null) return;
  const target = { ...untypedTarget(child, CANCEL), isKept: true };
  await services.notifyEntity(target, reason, { idempotencyKey: cancellationKey(known.requestId) });
}

/** The request that a child is, or null: it has ended, or is gone. */
async function requestOf(services: WorkflowServices, child: Watcher): Promise<RequestState | null> {
  const known = await services.lookUp(child.entityType, child.executionId);
  return known?.state === "answered" ? null : known;
}
