// The handle of one execution: what callers ask of it and do to it.

import { copyOf } from "../contract/copy-of.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import { parse, type SchemaInput } from "../contract/schema.ts";
import {
  CANCEL,
  cancellationKey,
  EXECUTE,
  QUERY,
  SIGNAL,
  hasSignal,
  type AnyQuery,
  type AnyWorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import { JOINING_HEADER } from "../data/envelope.ts";
import { ConfigError } from "../errors/config.ts";
import { InterruptedError } from "../errors/routing.ts";
import { UnknownExecutionError } from "../errors/workflow.ts";
import { checkKey, hashOf } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { ExportedJournal } from "../workflow/exported-journal.ts";
import { AddressedExecution } from "./addressed-execution.ts";
import type { CallOptions } from "./call-options.ts";
import type { Caller } from "./caller.ts";
import type { ExecutionAccess } from "./execution-access.ts";
import { describeExecution, exportJournal, type ExecutionDescription } from "./execution-description.ts";
import { outcome } from "./execution-outcome.ts";
import { forkExecution, type ForkOptions } from "./fork-execution.ts";
import { resumeExecution } from "./resume-execution.ts";
import { AS_LONG_AS_IT_TAKES, schemaWait } from "./schema-wait.ts";

/** What a query takes. */
export type QueryInput<Q extends AnyQuery> = NonNullable<Q["types"]>["input"];
/** What a query answers. */
export type QueryOutput<Q extends AnyQuery> = NonNullable<Q["types"]>["output"];
/** Options of `result` and `query`. */
type WaitingOptions = Pick<CallOptions, "timeout" | "signal">;
/** Options of `signal`. */
type SignalOptions = Pick<CallOptions, "idempotencyKey" | "timeout" | "signal">;
const WAITING_OPTION_NAMES: OptionNames<WaitingOptions> = { timeout: true, signal: true };
const SIGNAL_OPTION_NAMES: OptionNames<SignalOptions> = { idempotencyKey: true, timeout: true, signal: true };

/** One execution. */
export interface WorkflowHandle<T extends WorkflowTypes> {
  readonly executionId: string;
  /**
   * Waits for the end.
   *
   * @throws {WorkflowFailedError} it ended with an error, which is the cause
   * @throws {WorkflowCancelledError} it was cancelled
   * @throws {NonDeterminismError} outside of handlers, activities and workflows: it has not ended, and waits for fixed code
   */
  result(options?: WaitingOptions): Promise<T["callerOutput"]>;
  /** The result, or undefined while it runs. @throws {WorkflowFailedError} @throws {WorkflowCancelledError} */
  poll(): Promise<T["callerOutput"] | undefined>;
  /**
   * Sends a signal. It is durable when this resolves, and waits for the code that takes it. Of one name and one
   * `idempotencyKey` the execution gets one.
   *
   * @throws {InvalidInputError} the payload does not fit its schema; nothing was sent
   * @throws {ExecutionStateError} the execution has ended
   * @throws {UnknownExecutionError}
   */
  signal<Name extends keyof T["signals"] & string>(
    name: Name,
    ...args: InputArguments<SchemaInput<T["signals"][Name]>, SignalOptions>
  ): Promise<void>;
  /** Asks what the execution's state says, while it runs or after its end. @throws {UnknownExecutionError} */
  query<Name extends keyof T["queries"] & string>(
    name: Name,
    ...args: InputArguments<QueryInput<T["queries"][Name]>, WaitingOptions>
  ): Promise<QueryOutput<T["queries"][Name]>>;
  /**
   * Asks the execution to end: it is durable when this resolves. Its code may clean up first, its compensations run, and its
   * children are cancelled, too. One that has ended stays as it is. @throws {UnknownExecutionError}
   */
  cancel(reason?: string): Promise<void>;
  /** What is known of it, with its steps. @throws {UnknownExecutionError} */
  describe(): Promise<ExecutionDescription<T["callerInput"], T["callerOutput"]>>;
  /**
   * Lets a failed execution go on from its last good step: the step whose error it ended with is done anew, an activity under
   * the same idempotency key, and what the code did about that error is forgotten. If the error is the code's own, the steps
   * are done anew that failed and that no good step followed. Its error is taken back.
   *
   * One that waits for fixed code (NonDeterminismError) tries it again at once, as it does by itself after a while.
   *
   * @throws {ExecutionStateError} it has not failed, or its compensations have run: what they undid would be missing
   * @throws {UnknownExecutionError}
   */
  resume(): Promise<void>;
  /**
   * Starts a new execution with the input of this one, which takes over the steps before `fromStep` as they are recorded.
   * Resolves to its handle when it is durable. @throws {ConfigError} there is no such step @throws {UnknownExecutionError}
   */
  fork(options: ForkOptions): Promise<WorkflowHandle<T>>;
  /** Its journal, as data for `replayWorkflow` of @holdfast/testing. @throws {UnknownExecutionError} */
  exportJournal(): Promise<ExportedJournal>;
}

export function workflowHandle(
  caller: Caller,
  access: ExecutionAccess,
  contract: AnyWorkflowContract,
  executionId: string,
): WorkflowHandle<WorkflowTypes> {
  const { name: workflow } = contract;
  const execution = new AddressedExecution(caller, access, contract, executionId);
  const isGone = (): Promise<boolean> =>
    execution.lookUp().then(
      (state) => state === null,
      () => false,
    );
  return {
    executionId,
    async result(options = {}) {
      checkOptionNames(options, WAITING_OPTION_NAMES);
      const wait = schemaWait(access.clock, {
        ...options,
        what: `An execution of ${workflow}`,
        isRead: true,
      });
      const state = await execution.known(options);
      if (state.state !== "pending") return outcome(contract, state, wait?.sent());
      // The execution is known by its key, so this joins it, and its input stays what it was. It may be forgotten meanwhile.
      const joining = { ...execution.to(EXECUTE), marks: { [JOINING_HEADER]: "" } };
      const output = await caller
        .call(wait?.since(joining) ?? joining, undefined, options)
        .catch(async (error: unknown) => {
          const mayBeGone = error instanceof InterruptedError && options.signal?.aborted !== true;
          if (mayBeGone && (await isGone())) throw new UnknownExecutionError({ workflow, executionId });
          throw error;
        });
      return parse(contract.output, output, `The result of ${workflow}`, wait?.sent());
    },
    async poll() {
      const state = await execution.lookUp();
      return state === null || state.state === "pending" ? undefined : outcome(contract, state);
    },
    async signal(name, given, optionsGiven = {}) {
      // As they are now: it takes a while until it is sent.
      const [payload, options] = [copyOf(given), copyOf(optionsGiven)];
      checkOptionNames(options, SIGNAL_OPTION_NAMES);
      const schemas = contract.signals;
      if (!hasSignal(contract, name)) throw unknownName("signal", name, schemas ?? {});
      const { idempotencyKey: key, ...waiting } = options;
      const what = `The signal ${name} of ${workflow}`;
      const wait = schemaWait(access.clock, { ...waiting, what, hasKey: key !== undefined });
      await parse(schemas?.[name], payload, what, wait ?? AS_LONG_AS_IT_TAKES);
      const idempotencyKey = key === undefined ? access.newId() : signalKey(name, key);
      const { state } = await execution.known(waiting);
      if (state !== "pending")
        throw await execution.refusal(
          `The signal "${name}"`,
          "Nobody is left to take it: start a new execution.",
        );
      const target = { ...execution.to(SIGNAL), isKept: true };
      await caller.notify(wait?.since(target) ?? target, { name, payload }, { ...waiting, idempotencyKey });
    },
    async query(name, given?: unknown, optionsGiven = {}) {
      const [input, options] = [copyOf(given), copyOf(optionsGiven)];
      checkOptionNames(options, WAITING_OPTION_NAMES);
      if (!Object.hasOwn(contract.queries, name)) throw unknownName("query", name, contract.queries);
      const { input: schema, output } = contract.queries[name] as AnyQuery;
      const what = `The query ${name} of ${workflow}`;
      const wait = schemaWait(access.clock, { ...options, what, isRead: true });
      await parse(schema, input, what, wait);
      await execution.known(options);
      const target = { ...execution.to(QUERY), isRead: true };
      const answer = await caller.call(wait?.since(target) ?? target, { name, payload: input }, options);
      return parse(output, answer, `The answer of ${name}`, wait?.sent());
    },
    async cancel(reason = "no reason was given") {
      if (typeof reason !== "string")
        throw new ConfigError({ option: "reason", got: reason, takes: "a string" });
      const { state, requestId } = await execution.known();
      if (state !== "pending") return;
      await caller.notify({ ...execution.to(CANCEL), isKept: true }, reason, {
        idempotencyKey: cancellationKey(requestId),
      });
    },
    describe: () => describeExecution(execution),
    resume: () => resumeExecution(execution),
    fork: async (options) =>
      workflowHandle(caller, access, contract, await forkExecution(execution, options)),
    exportJournal: () => exportJournal(execution),
  };
}

/** Signals of two names and one key are two: a key that says what happened may stand behind both. @throws {ConfigError} it is no key */
export function signalKey(name: string, idempotencyKey: string): string {
  return hashOf(JSON.stringify([name, checkKey(idempotencyKey, "idempotencyKey")]));
}

function unknownName(option: "signal" | "query", got: unknown, known: object): ConfigError {
  const names = Object.keys(known);
  const takes = names.length === 0 ? "nothing: the workflow defines none" : `one of ${names.join(", ")}`;
  return new ConfigError({ option, got, takes });
}
