// RedisWorkflowStorage: journals and executions in Redis. Each method but listExecutions is one script.

import {
  CANCELLED_CODE,
  firstRequestIdOf,
  type AttributeValue,
  type EntityAddress,
  type ExecutionKey,
  type ExecutionQuery,
  type ExecutionRecord,
  type ExecutionStatus,
  type ExecutionTags,
  type Fence,
  type InboxMessage,
  type JournalEntry,
  type ShardId,
  type StorageTransaction,
  type StoredExecution,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { assertStorable, isStorable } from "./errors.ts";
import { JournalQueue } from "./journal-queue.ts";
import { refuse } from "./redis-message-storage.ts";
import type { RedisSession } from "./redis-session.ts";
import { envelopeOf, fieldsOf, numberOf, type RequestRow } from "./request-fields.ts";
import { SCRIPTS } from "./script.ts";

/** An execution as list-executions returns it. */
type ListedRow = readonly [status: ExecutionStatus, attributes: readonly string[], row: RequestRow];

export class RedisWorkflowStorage implements WorkflowStorage {
  readonly #session: RedisSession;
  readonly #journals: JournalQueue = new JournalQueue();

  constructor(session: RedisSession) {
    this.#session = session;
  }

  async appendJournal(
    { entityType, executionId }: ExecutionKey,
    entries: readonly JournalEntry[],
    fence: Fence,
    transaction: StorageTransaction | null,
  ): Promise<void> {
    if (transaction !== null) await refuse(transaction);
    assertStorable(executionId, "The id of an execution");
    this.#session.assertOpen("appendJournal");
    const texts = entries.map(entryArguments);
    await this.#journals.append(`${entityType}/${executionId}`, texts, fence, async (group, proven) => {
      const args = [entityType, executionId, ...group.flat()];
      const call = { operation: "appendJournal", script: SCRIPTS.appendJournal, args };
      await this.#session.writeFenced(call, proven);
    });
  }

  async readExecution(
    { entityType, executionId }: ExecutionKey,
    tags: ExecutionTags,
  ): Promise<StoredExecution> {
    const args = [entityType, executionId, tags.execution, ...tags.inbox];
    const [journal, messages] = await this.#session.read<[string[], string[]]>({
      operation: "readExecution",
      script: SCRIPTS.readExecution,
      args,
    });
    const entries: JournalEntry[] = [];
    for (let at = 0; at < journal.length; at += 2)
      entries.push(entryOf(Number(journal[at]), journal[at + 1] ?? ""));
    entries.sort((a, b) => a.ordinal - b.ordinal);
    const inbox: InboxMessage[] = [];
    for (let at = 0; at < messages.length; at += 3) {
      const [requestId = "", tag = "", payload = ""] = messages.slice(at, at + 3);
      inbox.push({ requestId, tag, payload });
    }
    return { entries, inbox };
  }

  async trimExecution(
    { entityType, executionId }: ExecutionKey,
    trim: {
      readonly belowOrdinal: number;
      readonly requestIds: readonly string[];
      readonly answeredBefore: number;
    },
    fence: Fence,
  ): Promise<void> {
    const { belowOrdinal, requestIds, answeredBefore } = trim;
    const args = [entityType, executionId, String(belowOrdinal), String(answeredBefore), ...requestIds];
    const call = { operation: "trimExecution", script: SCRIPTS.trimExecution, args };
    await this.#session.writeFenced(call, fence);
  }

  async listExecutions(query: ExecutionQuery): Promise<readonly ExecutionRecord[]> {
    if (query.executionId !== null && !isStorable(query.executionId)) return [];
    const { startedFrom, startedBefore, after } = query;
    const bounds = [after, startedBefore === null ? null : firstRequestIdOf(startedBefore)].filter(
      (bound) => bound !== null,
    );
    const lowest = startedFrom === null ? "-" : `[${firstRequestIdOf(startedFrom)}`;
    const attributes = Object.entries(query.attributes).flatMap(([name, value]) => [
      name,
      JSON.stringify(value),
    ]);
    const records: ExecutionRecord[] = [];
    let upper: string | undefined = bounds.toSorted()[0];
    do {
      const args: string[] = [
        query.entityType,
        query.tag,
        query.executionId === null ? "" : `=${query.executionId}`,
        query.status ?? "",
        lowest,
        upper === undefined ? "+" : `(${upper}`,
        String(query.now),
        String(query.limit - records.length),
        CANCELLED_CODE,
        ...attributes,
      ];
      const call = { operation: "listExecutions", script: SCRIPTS.listExecutions, args };
      const [next, rows]: [string, ListedRow[]] = await this.#session.read<[string, ListedRow[]]>(call);
      records.push(...rows.map(recordOf));
      upper = next;
    } while (upper !== "" && records.length < query.limit);
    return records;
  }

  async reopenExecution(
    { entityType, executionId }: ExecutionKey,
    requestId: string,
    { forget, entry }: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): Promise<EntityAddress | null> {
    const { name, channel } = this.#session;
    const forgotten = [String(forget.length), ...forget.map(String)];
    const args = [entityType, executionId, requestId, name, channel, ...forgotten, ...entryArguments(entry)];
    const call = { operation: "reopenExecution", script: SCRIPTS.reopenExecution, args };
    const [shardId] = await this.#session.write<string[]>(call);
    return shardId === undefined ? null : { entityType, entityId: executionId, shardId: shardId as ShardId };
  }
}

/** An entry as `append_entries` reads it. @throws {SerializationError} */
function entryArguments({ ordinal, position, kind, name, event }: JournalEntry): string[] {
  assertStorable(name, "The name of a step");
  const text = JSON.stringify({ position, kind, name, event });
  const changes =
    kind === "attributes" && event.type === "completed"
      ? Object.entries(JSON.parse(event.value) as Record<string, AttributeValue | null>)
      : [];
  const attributes = changes.flatMap(([attribute, value]) => {
    assertStorable(attribute, "The name of an attribute");
    return [attribute, value === null ? "" : JSON.stringify(value)];
  });
  return [String(ordinal), text, String(changes.length), ...attributes];
}

function entryOf(ordinal: number, text: string): JournalEntry {
  return { ordinal, ...(JSON.parse(text) as Omit<JournalEntry, "ordinal">) };
}

function recordOf([status, attributes, row]: ListedRow): ExecutionRecord {
  const fields = fieldsOf(row);
  const values: [string, AttributeValue][] = [];
  for (let at = 0; at < attributes.length; at += 2)
    values.push([attributes[at] ?? "", JSON.parse(attributes[at + 1] ?? "null") as AttributeValue]);
  return {
    envelope: envelopeOf(fields),
    status,
    endedAt: numberOf(fields.answered) ?? numberOf(fields.dead),
    dueAt: status === "suspended" ? numberOf(fields.due) : null,
    attributes: Object.fromEntries(values),
  };
}
