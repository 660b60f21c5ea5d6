// Replay of a journal without a cluster: does this code fit it?

import { SystemClock } from "../clock/system-clock.ts";
import { SystemRandom } from "../clock/system-random.ts";
import { Abort } from "../contract/abort.ts";
import type { Logger } from "../contract/logger.ts";
import { decodePayload, encodePayload } from "../contract/payload.ts";
import { TransactionScope } from "../contract/transaction.ts";
import { EXECUTE } from "../contract/workflow-contract.ts";
import { handlersOf, Suspension, type Call } from "../entity/behavior.ts";
import { NonDeterminismError } from "../errors/workflow.ts";
import type { ExportedJournal } from "../workflow/exported-journal.ts";
import { recordedRun } from "../workflow/recorded-run.ts";
import type { WorkflowImplementation } from "./workflow.ts";

export type ReplayedEnd =
  | { readonly status: "completed"; readonly result: unknown }
  | { readonly status: "failed"; readonly error: Error }
  | { readonly status: "waiting" };

const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const UNLIMITED = Number.MAX_SAFE_INTEGER;

/** Runs the code over the journal, doing and recording nothing. @throws {NonDeterminismError} @throws {DefinitionError} */
export async function replayJournal(
  implementation: WorkflowImplementation,
  journal: ExportedJournal,
): Promise<ReplayedEnd> {
  const { entityType, contract } = implementation;
  const { entries, inbox } = journal;
  const behavior = implementation.bind({
    replayOnly: true,
    storage: {
      readExecution: async () => ({ entries, inbox }),
      appendJournal: refuse,
      trimExecution: refuse,
      listExecutions: refuse,
      reopenExecution: refuse,
    },
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: SILENT,
    exposeStacks: false,
    maxPayloadBytes: UNLIMITED,
    beginTransaction: undefined,
    lookUp: refuse,
    isHosted: refuse,
    hasten: refuse,
    // Who waited for the end has heard of it.
    wake: async () => undefined,
    entity: refuse,
    workflow: refuse,
    callEntity: refuse,
    notifyEntity: refuse,
  });
  const call = callOf(entityType, journal);
  const { address } = call.envelope;
  const { signal } = new AbortController();
  const scope = { address, fence: call.fence, signal, onEvict: () => undefined };
  const handlers = handlersOf(behavior, scope);
  let end: ReplayedEnd;
  try {
    const input = decodePayload(journal.input, `The input of ${contract.name}`);
    const result: unknown = await handlers[EXECUTE]?.(input, call);
    end = result instanceof Suspension ? { status: "waiting" } : { status: "completed", result };
  } catch (error) {
    if (error instanceof NonDeterminismError || !hasEnded(error)) throw error;
    end = { status: "failed", error };
  }
  holdAgainst(journal, contract.name, end);
  return end;
}

function refuse(): never {
  throw new Error("A replay calls nobody");
}

/** @throws {NonDeterminismError} the code comes to another end than was recorded */
function holdAgainst(
  { executionId, entries, inbox, end: recorded }: ExportedJournal,
  workflow: string,
  end: ReplayedEnd,
): void {
  if (recorded === null || end.status === "waiting") return;
  const isSame =
    end.status === "completed"
      ? recorded.ok && recorded.value === encodePayload(end.result, "The result")
      : !recorded.ok;
  if (isSame) return;
  const position = recordedRun({ entries, inbox }).entries.reduce(
    (last, each) => Math.max(last, each.position),
    -1,
  );
  throw new NonDeterminismError({
    workflow,
    executionId,
    position: position + 1,
    recorded: recorded.ok ? "a result" : `a failure (${recorded.error})`,
    asked: end.status === "failed" ? `a failure (${end.error.message})` : "another result",
    journal: [],
  });
}

/** Whether it is how an execution ends, and not why it could not be run. */
function hasEnded(error: unknown): error is Error {
  return (
    error instanceof Error &&
    (error.name === "WorkflowFailedError" || error.name === "WorkflowCancelledError")
  );
}

function callOf(entityType: string, { executionId, requestId, input: payload }: ExportedJournal): Call {
  const never = new Abort();
  const shardId = "default:0";
  return {
    envelope: {
      requestId,
      address: { entityType, entityId: executionId, shardId },
      tag: EXECUTE,
      payload,
      headers: {},
      persisted: true,
      expects: "reply",
      deduplicationKey: EXECUTE,
      deliverAt: null,
      uninterruptible: true,
      fromInside: true,
      sender: "replay",
      readPendingFirst: false,
    },
    attempt: 1,
    isNew: false,
    signal: never.signal,
    aborted: never,
    leaving: never,
    fence: { shardId, epoch: 1 },
    transactions: new TransactionScope(undefined, "a replay has none"),
    mayBegin: () => true,
    countAnew: () => undefined,
    owes: () => undefined,
  };
}
