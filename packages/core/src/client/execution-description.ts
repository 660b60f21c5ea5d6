import { decodeError } from "../contract/error-codec.ts";
import { decodePayload } from "../contract/payload.ts";
import { INSPECT, errorsOf, type Inspection } from "../contract/workflow-contract.ts";
import type { ExportedJournal } from "../workflow/exported-journal.ts";
import { recordedRun } from "../workflow/recorded-run.ts";
import { describeSteps, type StepDescription } from "../workflow/step-description.ts";
import type { AddressedExecution } from "./addressed-execution.ts";
import { summaryOf, type ExecutionSummary } from "./execution-listing.ts";
import { outcome } from "./execution-outcome.ts";

/** What is known of an execution. */
export interface ExecutionDescription<Input = unknown, Output = unknown> extends ExecutionSummary<Input> {
  /** Where it completed. */
  readonly result?: Output;
  /** Where it failed or was cancelled; and the NonDeterminismError of one that waits for other code. */
  readonly error?: Error;
  /** While it is suspended: when it goes on by itself. Absent where a signal or a child wakes it. */
  readonly wakesAt?: Date;
  /** Why it waits for other code to be deployed, if it does and its runner answers. */
  readonly waitsForCode?: string;
  /** The version of the code that it began with, if the workflow has versions. */
  readonly version?: string;
  /** How often it began anew by `continueAsNew`; its steps are those since. */
  readonly continuations: number;
  /** The steps that are recorded, and those that are at work in memory, in the order in which the code asked for them. */
  readonly steps: readonly StepDescription[];
}

/** The owner is asked for no longer: what storage says is told without it. */
const INSPECTED_FOR = "2s";
/** Due times beyond are none: something else wakes the execution. */
const FAR_FUTURE = 8.6e15;

export async function describeExecution(execution: AddressedExecution): Promise<ExecutionDescription> {
  const { access, contract } = execution;
  const record = await execution.record();
  const run = recordedRun(await execution.stored());
  const summary = summaryOf(contract, record);
  const { dueAt } = record;
  const inspection = record.endedAt === null ? await inspect(execution) : null;
  const parked = inspection?.parked ?? null;
  return {
    ...summary,
    ...(run.input === null ? {} : { input: decodePayload(run.input, `The input of ${contract.name}`) }),
    ...(record.endedAt === null ? {} : await ended(execution)),
    ...(parked === null ? {} : { waitsForCode: parked.message, error: decodeError(parked, []) }),
    ...(dueAt === null || dueAt > FAR_FUTURE ? {} : { wakesAt: new Date(dueAt) }),
    ...(run.version === null ? {} : { version: run.version }),
    continuations: run.number,
    steps: describeSteps(run.entries, errorsOf(contract), inspection?.open, access.now()),
  };
}

export async function exportJournal(execution: AddressedExecution): Promise<ExportedJournal> {
  const { access, contract, executionId } = execution;
  const record = await execution.record();
  const stored = await execution.stored();
  const [state] = await access.messages().lookUp([record.envelope.requestId]);
  const exit = state?.state === "answered" ? state.reply.exit : null;
  return {
    format: "holdfast-journal-1",
    workflow: contract.name,
    executionId,
    requestId: record.envelope.requestId,
    input: record.envelope.payload,
    end: exit === null || exit.ok ? exit : { ok: false, error: exit.error.message },
    ...stored,
  };
}

async function ended(
  execution: AddressedExecution,
): Promise<{ readonly result?: unknown; readonly error?: Error }> {
  const state = await execution.lookUp();
  // It was resumed this moment.
  if (state === null || state.state === "pending") return {};
  if (state.state === "dead") return { error: decodeError(state.deadLetter.error, []) };
  try {
    return { result: await outcome(execution.contract, state) };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

/** What its owner says. Null: it is out of reach, or nobody serves it; what storage says is true all the same. */
export async function inspect(execution: AddressedExecution): Promise<Inspection | null> {
  const limits = { timeout: INSPECTED_FOR };
  try {
    return (await execution.caller.call(execution.to(INSPECT), null, limits)) as Inspection;
  } catch {
    return null;
  }
}
