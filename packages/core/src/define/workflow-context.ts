// The context of a workflow's code: what `execute` is given, made of an execution's steps.

import { disregardAll } from "../contract/call-back.ts";
import { timeOf } from "../contract/date.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import { copiesOf } from "../contract/copy-of.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import { checkKey, isPlainText, MAX_NAME_BYTES, takesAtMost } from "../contract/key.ts";
import { liveProperty, SOURCE } from "../contract/live-property.ts";
import { LazyLogger, type LogFields, type Logger } from "../contract/logger.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import { parse, type SchemaOutput } from "../contract/schema.ts";
import { TRANSACTION_SCOPE } from "../contract/transaction.ts";
import {
  hasSignal,
  type AnyWorkflowContract,
  type SignalSchemas,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { EntityPeers } from "../client/entity-client.ts";
import type { AttributeValue } from "../data/execution-record.ts";
import type { Call } from "../entity/behavior.ts";
import { ConfigError, DefinitionError } from "../errors/config.ts";
import { ActivityStep } from "../workflow/activity-step.ts";
import type { AttemptBody, ActivitySettings, AttemptScope } from "../workflow/activity-attempt.ts";
import { DeterministicRandom } from "../workflow/deterministic-random.ts";
import type { Execution } from "../workflow/execution.ts";
import { signalStep } from "../workflow/signal-step.ts";
import { timerStep } from "../workflow/timer-step.ts";
import { unattended } from "../workflow/unattended.ts";
import {
  activitySettings,
  optionsAndBody,
  type ActivityCalls,
  type ActivityContext,
  type ActivityOptions,
  type AnyActivities,
} from "./activity-group.ts";
import { childWorkflows, type ChildWorkflow } from "./child-workflow.ts";
import type { WorkflowContextParts, WorkflowServices } from "./context-parts.ts";
import { journaledPeer } from "./journaled-peer.ts";

/** Options of a wait for a signal. */
export interface WaitOptions {
  /** After it the wait fails with SignalTimeoutError. Default: it waits for as long as it takes. */
  readonly timeout?: Duration;
}

const RUN_USAGE = "ctx.run(name, options, async (ctx) => { ... })";
type InlineBody = (ctx: ActivityContext) => unknown;

const SIGNAL_OPTION_NAMES: OptionNames<WaitOptions> = { timeout: true };
/** The most that an attribute's value may take as JSON. */
const MAX_ATTRIBUTE_BYTES = 1_024;

/** What `execute` of a workflow is given. Whatever it does besides computing goes through here, and is journaled. */
export interface WorkflowContext<
  Activities extends AnyActivities = AnyActivities,
  Signals extends SignalSchemas = SignalSchemas,
  Input = unknown,
> {
  readonly executionId: string;
  /** The workflow's own activities and those of its groups. */
  readonly activities: ActivityCalls<Activities>;
  /** An inline activity. Its result is recorded under `name`. */
  run<Out>(name: string, body: (ctx: ActivityContext) => Out | Promise<Out>): Promise<Out>;
  run<Out>(
    name: string,
    options: ActivityOptions,
    body: (ctx: ActivityContext) => Out | Promise<Out>,
  ): Promise<Out>;
  /** A durable timer. An execution that waits for nothing else leaves memory meanwhile. */
  sleep(duration: Duration): Promise<void>;
  /** A durable timer. A date in the past is due at once. */
  sleepUntil(date: Date): Promise<void>;
  /**
   * The next signal of this name: those that came before are kept, in the order in which they were accepted. An execution
   * that waits for nothing else leaves memory meanwhile.
   *
   * @throws {SignalTimeoutError} none came within `timeout`; default: it is waited for as long as it takes
   */
  signal<Name extends keyof Signals & string>(
    name: Name,
    options?: WaitOptions,
  ): Promise<SchemaOutput<Signals[Name]>>;
  /** Clients of entities. A call is journaled: a persisted rpc is sent once, however often the code is replayed. */
  readonly entity: EntityPeers;
  /** Other workflows as children: their executions are cancelled with this one, unless they are detached. */
  child<T extends WorkflowTypes>(definition: WorkflowContract<T>): ChildWorkflow<T>;
  /**
   * Registers what undoes something, to run if `execute` fails or is cancelled: the last one first, its steps journaled like
   * any others. Register it before what it undoes, and let it bear that this was not done, or after it, and know that an
   * activity may have had its effect although it failed.
   */
  onCompensate(name: string, undo: () => unknown): void;
  /**
   * Ends this run, and begins the execution anew under its id with this input and an empty journal. Signals that were not
   * taken, and attributes, stay. `return ctx.continueAsNew(input)`: what code that does not wait for it does meanwhile may
   * still happen, and what it returns counts for nothing.
   */
  continueAsNew(...args: InputArguments<Input, never>): Promise<never>;
  /** The time of the step that asked first, in milliseconds since 1970. */
  now(): number;
  /** A number in [0, 1), the same in every replay. */
  random(): number;
  /** A UUID, the same in every replay. */
  uuid(): string;
  /**
   * Whether code that was deployed later is to run: true in executions that had not come here before it was, and false in
   * those that had. Once no execution is left that began without it, the call can go.
   */
  patched(id: string): boolean;
  /** What queries read, from now on and after the end. Kept in the journal. */
  setState(value: unknown): void;
  /** What listings filter by: strings, numbers and booleans, by name; null takes one away. Others stay as they are. */
  setAttributes(attributes: Readonly<Record<string, AttributeValue | null>>): void;
  /** Silent while replaying. */
  readonly log: Logger;
  /** Aborted with WorkflowCancelledError when the execution is cancelled. */
  readonly cancelled: AbortSignal;
  /** Whether what the code does now was recorded by an earlier run of it. */
  readonly isReplaying: boolean;
}

const OF_NOW = {
  cancelled: liveProperty((execution: Execution) => execution.cancelled),
  isReplaying: liveProperty((execution: Execution) => execution.isReplaying),
  log: liveProperty((execution: Execution) => execution.log),
};
/** An attempt's signal is made when it is asked for. */
const SIGNAL = liveProperty((attempt: AttemptScope) => attempt.signal);
const logFieldsOf = ({ executionId, name, attempt }: AttemptScope): LogFields => ({
  executionId,
  activity: name,
  attempt,
});

export function workflowContext(parts: WorkflowContextParts): WorkflowContext {
  const { execution, call, contract, activities, services, compensations, children, seed } = parts;
  const { scope } = execution;
  const random = new DeterministicRandom(seed);
  const activity = (
    of: { readonly kind: "activity" | "run"; readonly name: string; readonly args: readonly unknown[] },
    settings: ActivitySettings,
    body: AttemptBody,
  ): Promise<unknown> =>
    execution.step({ ...of, role: "work", content: () => of.args }, (step) =>
      new ActivityStep(step, scope, { settings, body }).perform(),
    );
  const timer = (name: string, dueAt: () => number): Promise<void> =>
    unattended(
      execution
        .step({ kind: "sleep", name, role: "wait" }, (step) => timerStep(step, scope, dueAt))
        .then(() => undefined),
    );
  const inContext =
    (body: (ctx: ActivityContext, ...args: never[]) => unknown, args: readonly unknown[] = []): AttemptBody =>
    (attempt) =>
      body(activityContext(attempt, call, services), ...(copiesOf(args) as never[]));
  // All at once: put in one by one, they would be kept until the next full collection, and the execution with them.
  const calls = Object.fromEntries(
    Array.from(activities, ([name, { journalName, activity: of }]) => [
      name,
      (...args: unknown[]) =>
        activity(
          { kind: "activity", name: journalName, args },
          of.settings,
          inContext(of.body, copiesOf(args)),
        ),
    ]),
  );
  const context: Omit<WorkflowContext, keyof typeof OF_NOW> & { readonly [SOURCE]: Execution } = {
    [SOURCE]: execution,
    executionId: execution.id,
    activities: calls as WorkflowContext["activities"],
    run(name: string, first: unknown, second?: unknown) {
      const [options, body] = optionsAndBody(
        first as ActivityOptions | InlineBody,
        second as InlineBody,
        RUN_USAGE,
      );
      return activity(
        { kind: "run", name: checkStepName(name, "the name of ctx.run"), args: [] },
        activitySettings(options),
        inContext(body),
      ) as Promise<never>;
    },
    sleep(duration) {
      const delayMs = milliseconds(duration, "sleep");
      return timer("sleep", () => services.clock.now() + delayMs);
    },
    sleepUntil(date) {
      // Refused at once, and by no promise that nobody may await.
      const dueAt = timeOf(date, "sleepUntil");
      return timer("sleepUntil", () => dueAt);
    },
    signal(name, options = {}) {
      checkOptionNames(options, SIGNAL_OPTION_NAMES);
      const { timeout } = options;
      const timeoutMs = timeout === undefined ? null : milliseconds(timeout, "timeout");
      checkSignalName(contract, name);
      const schema = contract.signals?.[name];
      return execution.step({ kind: "signal", name, role: "wait" }, (step) =>
        signalStep(step, scope, {
          signals: execution.signals,
          name,
          timeoutMs,
          parse: async (payload) => parse(schema, payload, `The signal ${name} of ${contract.name}`),
        }),
      );
    },
    entity: ((definition: EntityContract, entityId: string) =>
      journaledPeer(execution, services, definition, entityId)) as EntityPeers,
    child: childWorkflows(parts),
    onCompensate(name, undo) {
      checkStepName(name, "the name of ctx.onCompensate");
      if (typeof undo !== "function")
        throw new DefinitionError(`ctx.onCompensate("${name}") needs a function that undoes it.`);
      execution.checkAsker("onCompensate");
      compensations.register(name, undo);
    },
    continueAsNew: (input) =>
      execution.continueAsNew(async () => {
        await parse(contract.input, input, `The input of the workflow ${contract.name}`);
        const what = `The input of ${contract.name}`;
        const encoded = encodeBoundedPayload(input, what, services.maxPayloadBytes);
        // First: meanwhile more may be asked for, or all of them be cancelled.
        await children.leaveOutEnded();
        await children.known();
        await children.told();
        return { input: encoded, children: children.running };
      }),
    now: () => execution.instant("now()").value("now", () => services.clock.now()),
    random() {
      execution.checkAsker("random()");
      return random.next(execution.branch);
    },
    uuid() {
      execution.checkAsker("uuid()");
      return random.uuid(execution.branch);
    },
    patched: (id) => execution.instant("patched").patched(checkStepName(checkKey(id, "patched"), "patched")),
    setState: (value) => execution.instant("setState").setState(value),
    setAttributes: (attributes) =>
      execution
        .instant("setAttributes")
        .note("attributes", "setAttributes", JSON.stringify(checkAttributes(attributes))),
  };
  Object.defineProperty(context, "cancelled", OF_NOW.cancelled);
  Object.defineProperty(context, "isReplaying", OF_NOW.isReplaying);
  return Object.defineProperty(context, "log", OF_NOW.log) as typeof context &
    Pick<WorkflowContext, keyof typeof OF_NOW>;
}

/** @throws {ConfigError} the workflow has no such signal */
function checkSignalName(contract: AnyWorkflowContract, name: unknown): asserts name is string {
  if (typeof name === "string" && hasSignal(contract, name)) return;
  const names = Object.keys(contract.signals ?? {});
  throw new ConfigError({
    option: "signal",
    got: name,
    takes:
      names.length === 0
        ? `nothing: ${contract.name} defines no signals`
        : `a signal that ${contract.name} defines: ${names.join(", ")}`,
  });
}

/** A step's name, as every storage keeps it. @throws {ConfigError} */
function checkStepName(name: unknown, option: string): string {
  if (typeof name === "string" && isPlainText(name)) return name;
  throw new ConfigError({ option, got: name, takes: "a string without NUL and lone surrogates" });
}

/** What each storage can index. @throws {ConfigError} names the attribute */
function checkAttributes(
  attributes: Readonly<Record<string, AttributeValue | null>>,
): Readonly<Record<string, AttributeValue | null>> {
  if (typeof attributes !== "object" || attributes === null)
    throw new ConfigError({ option: "attributes", got: attributes, takes: "an object of values by name" });
  const entries = Object.entries(attributes);
  for (const [name, value] of entries) {
    if (name === "" || !isPlainText(name) || !takesAtMost(name, MAX_NAME_BYTES)) {
      const takes = `1 to ${MAX_NAME_BYTES} bytes of UTF-8`;
      throw new ConfigError({ option: "the name of an attribute", got: name, takes });
    }
    const isValue =
      value === null ||
      typeof value === "boolean" ||
      (typeof value === "number" && Number.isFinite(value)) ||
      (typeof value === "string" && isPlainText(value));
    if (isValue && takesAtMost(JSON.stringify(value), MAX_ATTRIBUTE_BYTES)) continue;
    disregardAll(entries);
    const takes = `a string of up to ${MAX_ATTRIBUTE_BYTES} bytes, a finite number, a boolean, or null to take it away`;
    throw new ConfigError({ option: `attributes.${name}`, got: value, takes });
  }
  // What was looked at, and not what a toJSON of the object's or a getter gives the next time.
  return Object.fromEntries(entries);
}

function activityContext(attempt: AttemptScope, call: Call, services: WorkflowServices): ActivityContext {
  const context = {
    [SOURCE]: attempt,
    executionId: attempt.executionId,
    activityId: attempt.key,
    attempt: attempt.attempt,
    idempotencyKey: attempt.key,
    fencingToken: call.fence.epoch,
    heartbeat: attempt.heartbeat,
    lastHeartbeat: attempt.lastHeartbeat,
    log: new LazyLogger(services.logger, attempt, logFieldsOf),
    entity: services.entity,
    workflow: services.workflow,
    [TRANSACTION_SCOPE]: attempt.transactions,
  };
  return Object.defineProperty(context, "signal", SIGNAL) as typeof context & Pick<ActivityContext, "signal">;
}
