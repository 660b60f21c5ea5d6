// The handle of one execution: what callers ask of it and do to it.

import { copyOf } from "../contract/copy-of.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import { decodePayload } from "../contract/payload.ts";
import { parse, type SchemaInput } from "../contract/schema.ts";
import {
  CANCEL,
  cancellationKey,
  EXECUTE,
  EXECUTION_TAGS,
  FORK_HEADER,
  QUERY,
  SIGNAL,
  WAKE,
  hasSignal,
  type AnyQuery,
  type AnyWorkflowContract,
  type ForkOrigin,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { RequestState } from "../adapter/message-storage.ts";
import { CANCELLED_CODE } from "../data/execution-record.ts";
import { JOINING_HEADER } from "../data/envelope.ts";
import { ConfigError } from "../errors/config.ts";
import { InterruptedError } from "../errors/routing.ts";
import { ExecutionStateError, UnknownExecutionError } from "../errors/workflow.ts";
import { checkKey, hashOf } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { ExportedJournal } from "../workflow/exported-journal.ts";
import { forkableUpTo } from "../workflow/fork.ts";
import { recordedRun } from "../workflow/recorded-run.ts";
import { resumeEntry, resumption } from "../workflow/resumption.ts";
import type { CallLimits } from "./call-limits.ts";
import type { CallOptions } from "./call-options.ts";
import type { CallTarget, Caller } from "./caller.ts";
import type { ExecutionAccess } from "./execution-access.ts";
import {
  describeExecution,
  exportJournal,
  inspect,
  type ExecutionDescription,
} from "./execution-description.ts";
import { executionRecord, knownExecution } from "./execution-listing.ts";
import { outcome } from "./execution-outcome.ts";
import { executionTarget } from "./execution-target.ts";

/** What a query takes. */
export type QueryInput<Q extends AnyQuery> = NonNullable<Q["types"]>["input"];
/** What a query answers. */
export type QueryOutput<Q extends AnyQuery> = NonNullable<Q["types"]>["output"];
/** Options of `result` and `query`. */
type WaitingOptions = Pick<CallOptions, "timeout" | "signal">;
/** Options of `signal`. */
type SignalOptions = Pick<CallOptions, "idempotencyKey" | "timeout" | "signal">;
/** Options of `fork`. */
export interface ForkOptions {
  /** The position of the first step that is not taken over; 0 takes over none. */
  readonly fromStep: number;
  /** Of the new execution; no execution may have it. Default: one is made. */
  readonly executionId?: string;
}

const WAITING_OPTION_NAMES: OptionNames<WaitingOptions> = { timeout: true, signal: true };
const SIGNAL_OPTION_NAMES: OptionNames<SignalOptions> = { idempotencyKey: true, timeout: true, signal: true };
const FORK_OPTION_NAMES: OptionNames<ForkOptions> = { fromStep: true, executionId: true };

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
  const to = (tag: string): CallTarget => executionTarget(contract, executionId, tag);
  const known = async (limits?: CallLimits): Promise<RequestState> => {
    const state = await caller.lookUpByKey(to(EXECUTE), EXECUTE, limits);
    if (state === null) throw new UnknownExecutionError({ workflow, executionId });
    return state;
  };
  /** Also how much of the call's time-out that took. */
  const knownWithin = async (
    limits: CallLimits,
  ): Promise<{ readonly state: RequestState; readonly passedMs: number }> => {
    const begun = access.monotonic();
    const state = await known(limits);
    return { state, passedMs: Math.floor(access.monotonic() - begun) };
  };
  const isGone = (): Promise<boolean> =>
    caller.lookUpByKey(to(EXECUTE), EXECUTE).then(
      (state) => state === null,
      () => false,
    );
  const refuse = async (what: string, hint: string): Promise<ExecutionStateError> => {
    const status = (await executionRecord(access, contract, executionId))?.status ?? "completed";
    return new ExecutionStateError({ workflow, executionId, status, what, hint });
  };
  return {
    executionId,
    async result(options = {}) {
      checkOptionNames(options, WAITING_OPTION_NAMES);
      const { state, passedMs } = await knownWithin(options);
      if (state.state !== "pending") return outcome(contract, state);
      // The execution is known by its key, so this joins it, and its input stays what it was. It may be forgotten meanwhile.
      const joining = { ...options, headers: { [JOINING_HEADER]: "" } };
      const output = await caller
        .call({ ...to(EXECUTE), passedMs }, undefined, joining)
        .catch(async (error: unknown) => {
          const mayBeGone = error instanceof InterruptedError && options.signal?.aborted !== true;
          if (mayBeGone && (await isGone())) throw new UnknownExecutionError({ workflow, executionId });
          throw error;
        });
      return parse(contract.output, output, `The result of ${workflow}`);
    },
    async poll() {
      const state = await caller.lookUpByKey(to(EXECUTE), EXECUTE);
      return state === null || state.state === "pending" ? undefined : outcome(contract, state);
    },
    async signal(name, given, optionsGiven = {}) {
      // As they are now: it takes a while until it is sent.
      const [payload, options] = [copyOf(given), copyOf(optionsGiven)];
      checkOptionNames(options, SIGNAL_OPTION_NAMES);
      const schemas = contract.signals;
      if (!hasSignal(contract, name)) throw unknownName("signal", name, schemas ?? {});
      await parse(schemas?.[name], payload, `The signal ${name} of ${workflow}`);
      const { idempotencyKey: key, ...waiting } = options;
      const idempotencyKey = key === undefined ? access.newId() : signalKey(name, key);
      const { state, passedMs } = await knownWithin(waiting);
      if (state.state !== "pending")
        throw await refuse(`The signal "${name}"`, "Nobody is left to take it: start a new execution.");
      const target = { ...to(SIGNAL), isKept: true, passedMs };
      await caller.notify(target, { name, payload }, { ...waiting, idempotencyKey });
    },
    async query(name, given?: unknown, optionsGiven = {}) {
      const [input, options] = [copyOf(given), copyOf(optionsGiven)];
      checkOptionNames(options, WAITING_OPTION_NAMES);
      if (!Object.hasOwn(contract.queries, name)) throw unknownName("query", name, contract.queries);
      const { input: schema, output } = contract.queries[name] as AnyQuery;
      await parse(schema, input, `The query ${name} of ${workflow}`);
      const { passedMs } = await knownWithin(options);
      const answer = await caller.call(
        { ...to(QUERY), passedMs, isRead: true },
        { name, payload: input },
        options,
      );
      return parse(output, answer, `The answer of ${name}`);
    },
    async cancel(reason = "no reason was given") {
      if (typeof reason !== "string")
        throw new ConfigError({ option: "reason", got: reason, takes: "a string" });
      const { state, requestId } = await known();
      if (state !== "pending") return;
      await caller.notify({ ...to(CANCEL), isKept: true }, reason, {
        idempotencyKey: cancellationKey(requestId),
      });
    },
    describe: () => describeExecution(caller, access, contract, executionId),
    async resume() {
      const state = await known();
      if (state.state === "dead") {
        const address = await access.messages().requeueDeadLetter(state.requestId, EXECUTION_TAGS.execution);
        if (address !== null) access.wakeOwner(address.shardId);
        return;
      }
      const what = "resume()";
      const failed = "It takes an execution that has failed; fork() takes any.";
      if (state.state === "pending") {
        const isParked = (await inspect(caller, contract, executionId))?.parked;
        if (isParked) return caller.notify({ ...to(WAKE), isKept: true }, null);
      }
      if (state.state === "pending" || state.reply.exit.ok) throw await refuse(what, failed);
      const { error } = state.reply.exit;
      if (error.code === CANCELLED_CODE) throw await refuse(what, failed);
      const key = { entityType: contract.entity.name, executionId };
      const stored = await access.workflows().readExecution(key, EXECUTION_TAGS);
      const resumed = resumption(stored, error);
      if (resumed === null)
        throw await refuse(
          what,
          "Its compensations have run, and what they undid would be missing: fork() it, or start a new execution.",
        );
      const changes = { forget: resumed.forget, entry: resumeEntry(stored, resumed) };
      const address = await access.workflows().reopenExecution(key, state.requestId, changes);
      if (address === null) throw await refuse(what, "Somebody else resumed it.");
      access.wakeOwner(address.shardId);
    },
    async fork(options) {
      checkOptionNames(options, FORK_OPTION_NAMES);
      const { fromStep, executionId: chosen } = options;
      const { envelope } = await knownExecution(access, contract, executionId);
      const { requestId, payload } = envelope;
      const key = { entityType: contract.entity.name, executionId };
      const run = recordedRun(await access.workflows().readExecution(key, EXECUTION_TAGS));
      const last = forkableUpTo(run);
      if (!Number.isInteger(fromStep) || fromStep < 0 || fromStep > last) {
        const takes = `a step's position, 0 to ${last}${run.cancellation === null ? "" : ": what it did after its cancellation is no part of a fork"}`;
        throw new ConfigError({ option: "fromStep", got: fromStep, takes });
      }
      const forked = chosen === undefined ? access.newId() : checkKey(chosen, "executionId");
      if (chosen !== undefined && (await executionRecord(access, contract, chosen)) !== null)
        throw new ConfigError({ option: "executionId", got: chosen, takes: "an id that no execution has" });
      const headers = {
        [FORK_HEADER]: JSON.stringify({
          executionId,
          requestId,
          number: run.number,
          fromStep,
        } satisfies ForkOrigin),
      };
      const input = decodePayload(run.input ?? payload, `The input of ${workflow}`);
      await caller.notify({ ...to(EXECUTE), entityId: forked }, input, { headers });
      return workflowHandle(caller, access, contract, forked);
    },
    exportJournal: () => exportJournal(access, contract, executionId),
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
