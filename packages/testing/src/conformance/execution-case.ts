// Executions, as the suites of WorkflowStorage make and read them.

import type {
  AttributeValue,
  EncodedError,
  Envelope,
  ExecutionKey,
  ExecutionQuery,
  ExecutionRecord,
  ExecutionTags,
  Fence,
  JournalEntry,
  MessageStorage,
  OpenStorage,
  WorkflowStorage,
} from "@holdfast/core/adapter";
import { failure, type StorageCase } from "./storage-case.ts";

export const ORDER: ExecutionKey = { entityType: "workflow:Order", executionId: "order-1" };

/** What the suites send to executions. */
export const TAGS: ExecutionTags = { execution: "execute", inbox: ["signal", "cancel", "watch"] };

/** A wall time after everything that a case does. */
export const FUTURE = 4_102_444_800_000;

/** Another execution of the same workflow. */
export function order(executionId: string): ExecutionKey {
  return { ...ORDER, executionId };
}

/** The request that an execution is, changed by `changes`. */
export function startOf(
  context: StorageCase,
  execution: ExecutionKey,
  changes: Partial<Envelope> = {},
): Envelope {
  return context.request({
    address: {
      entityType: execution.entityType,
      entityId: execution.executionId,
      shardId: "default:1",
    },
    tag: "execute",
    deduplicationKey: "execute",
    ...changes,
  });
}

/** A request to an execution that is there besides, with a key of its own. */
export function messageTo(
  context: StorageCase,
  execution: ExecutionKey,
  changes: Partial<Envelope> = {},
): Envelope {
  return startOf(context, execution, { tag: "signal", deduplicationKey: context.id(), ...changes });
}

/** Starts an execution and returns its request. */
export async function start(
  { messages }: Pick<OpenStorage, "messages">,
  context: StorageCase,
  execution: ExecutionKey,
  changes: Partial<Envelope> = {},
): Promise<Envelope> {
  const request = startOf(context, execution, changes);
  await context.save(messages, request);
  return request;
}

/** Answers a request with an error of this code. */
export async function fail(
  messages: MessageStorage,
  { requestId }: Envelope,
  fence: Fence,
  changes: Partial<EncodedError> = {},
): Promise<void> {
  const error = { ...failure("no"), ...changes };
  await messages.saveReply({ requestId, exit: { ok: false, error } }, fence, null);
}

export async function journalOf(
  workflows: WorkflowStorage,
  execution: ExecutionKey,
): Promise<readonly JournalEntry[]> {
  return (await workflows.readExecution(execution, { ...TAGS, inbox: [] })).entries;
}

/** The step that changes these attributes. Its position is its ordinal. */
export function attributes(
  ordinal: number,
  changes: Readonly<Record<string, AttributeValue | null>>,
): JournalEntry {
  return {
    ordinal,
    position: ordinal,
    kind: "attributes",
    name: "attributes",
    event: { type: "completed", value: JSON.stringify(changes) },
  };
}

/** What says that an execution goes on after its failure. */
export function resumed(ordinal: number, value: string = "[]"): JournalEntry {
  return { ordinal, position: -1, kind: "resume", name: "resume", event: { type: "completed", value } };
}

/** A query for all executions of ORDER's workflow, changed by `changes`. */
export function queryOf(changes: Partial<ExecutionQuery> = {}): ExecutionQuery {
  return {
    entityType: ORDER.entityType,
    tag: "execute",
    executionId: null,
    status: null,
    startedFrom: null,
    startedBefore: null,
    attributes: {},
    now: 1_000_000,
    limit: 100,
    after: null,
    ...changes,
  };
}

/** The ids of the executions that are listed, in the order of the list. */
export async function listed(
  workflows: WorkflowStorage,
  changes: Partial<ExecutionQuery> = {},
): Promise<readonly string[]> {
  return (await workflows.listExecutions(queryOf(changes))).map(({ envelope }) => envelope.address.entityId);
}

/** What is listed of one execution, or of a request to it with another tag. */
export async function recordOf(
  workflows: WorkflowStorage,
  execution: ExecutionKey,
  tag: string = "execute",
): Promise<ExecutionRecord | undefined> {
  const [record] = await workflows.listExecutions(
    queryOf({ entityType: execution.entityType, executionId: execution.executionId, tag }),
  );
  return record;
}
