// MemoryExecutions: the executions of a memory storage, each of them a request with a journal, attributes and an inbox.
//
// Keeps nothing itself: requests are in memory-requests.ts, journals in memory-journals.ts. Each method reads or writes all
// of them without an `await` between, so that what it reads is of one moment and what it writes is there at once.

import type {
  ExecutionKey,
  ExecutionQuery,
  ExecutionTags,
  StoredExecution,
} from "../adapter/workflow-storage.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import { CANCELLED_CODE, type ExecutionRecord, type ExecutionStatus } from "../data/execution-record.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import { firstRequestIdOf } from "../data/request-id.ts";
import type { MemoryEpochs } from "./memory-epochs.ts";
import type { MemoryJournals } from "./memory-journals.ts";
import type { MemoryMessages } from "./memory-messages.ts";
import type { MemoryRequests, RequestRecord } from "./memory-requests.ts";

/** The executions of a memory storage, shared by its sessions. */
export class MemoryExecutions {
  readonly #epochs: MemoryEpochs;
  readonly #requests: MemoryRequests;
  readonly #messages: MemoryMessages;
  readonly #journals: MemoryJournals;

  constructor(
    epochs: MemoryEpochs,
    requests: MemoryRequests,
    messages: MemoryMessages,
    journals: MemoryJournals,
  ) {
    this.#epochs = epochs;
    this.#requests = requests;
    this.#messages = messages;
    this.#journals = journals;
  }

  read(execution: ExecutionKey, tags: ExecutionTags): StoredExecution {
    const keyed = this.#requests
      .of(entityOf(execution))
      .map(({ envelope }) => envelope)
      .filter(({ deduplicationKey }) => deduplicationKey !== null);
    const start = keyed.findIndex(({ tag }) => tag === tags.execution);
    const inbox = (start < 0 ? [] : keyed.slice(start + 1))
      .filter(({ tag }) => tags.inbox.includes(tag))
      .map(({ requestId, tag, payload }) => ({ requestId, tag, payload }));
    return { entries: this.#journals.read(execution), inbox };
  }

  trim(
    execution: ExecutionKey,
    trim: {
      readonly belowOrdinal: number;
      readonly requestIds: readonly string[];
      readonly answeredBefore: number;
    },
    fence: Fence,
  ): void {
    this.#epochs.check(fence);
    this.#journals.retain(execution, ({ ordinal }) => ordinal >= trim.belowOrdinal);
    const requestIds = new Set(trim.requestIds);
    for (const record of this.#requests.of(entityOf(execution))) {
      const { envelope, outcome } = record;
      if (envelope.deduplicationKey !== null && !requestIds.has(envelope.requestId)) continue;
      if (outcome?.state !== "answered" || outcome.answeredAt >= trim.answeredBefore) continue;
      this.#messages.forget(record);
    }
  }

  list(query: ExecutionQuery): readonly ExecutionRecord[] {
    const { entityType, executionId, limit, now } = query;
    const requests =
      executionId === null ? this.#requests.all() : this.#requests.of({ entityType, entityId: executionId });
    // A person asks: looked through and sorted when asked for.
    return Array.from(requests)
      .filter((record) => this.#isAsked(record, query))
      .toSorted((a, b) => (a.envelope.requestId < b.envelope.requestId ? 1 : -1))
      .slice(0, limit)
      .map((record) => this.#recordOf(record, now));
  }

  reopen(
    execution: ExecutionKey,
    requestId: string,
    { forget, entry }: { readonly forget: readonly number[]; readonly entry: JournalEntry },
  ): EntityAddress | null {
    const record = this.#requestOf(execution, requestId);
    if (record?.outcome?.state !== "answered" || record.outcome.reply.exit.ok) return null;
    if (this.#journals.read(execution).some(({ ordinal }) => ordinal >= entry.ordinal)) return null;
    this.#messages.handleAgain(record);
    this.#journals.retain(execution, ({ ordinal }) => !forget.includes(ordinal));
    this.#journals.add(execution, [entry]);
    return record.envelope.address;
  }

  #requestOf(execution: ExecutionKey, requestId: string): RequestRecord | undefined {
    const record = this.#requests.get(requestId);
    const { entityType, entityId } = record?.envelope.address ?? {};
    return entityType === execution.entityType && entityId === execution.executionId ? record : undefined;
  }

  #isAsked(record: RequestRecord, query: ExecutionQuery): boolean {
    const { requestId, address, tag, deduplicationKey } = record.envelope;
    const { startedFrom, startedBefore, after, status } = query;
    // What has no key is no execution: there could be two of one id.
    if (address.entityType !== query.entityType || tag !== query.tag || deduplicationKey === null)
      return false;
    if (startedFrom !== null && requestId < firstRequestIdOf(startedFrom)) return false;
    if (startedBefore !== null && requestId >= firstRequestIdOf(startedBefore)) return false;
    if (after !== null && requestId >= after) return false;
    if (status !== null && statusOf(record, query.now) !== status) return false;
    const attributes = this.#journals.attributesOf(executionOf(address));
    return Object.entries(query.attributes).every(([name, value]) => attributes.get(name) === value);
  }

  #recordOf(record: RequestRecord, now: number): ExecutionRecord {
    const { envelope, outcome, deliverAt } = record;
    const status = statusOf(record, now);
    return {
      envelope,
      status,
      endedAt: outcome === null ? null : endOf(outcome),
      dueAt: status === "suspended" ? deliverAt : null,
      attributes: Object.fromEntries(this.#journals.attributesOf(executionOf(envelope.address))),
    };
  }
}

function statusOf({ outcome, deliverAt, attempts }: RequestRecord, now: number): ExecutionStatus {
  if (outcome === null) {
    if (deliverAt !== null && deliverAt > now) return "suspended";
    return attempts > 0 ? "running" : "pending";
  }
  if (outcome.state === "dead") return "failed";
  const { exit } = outcome.reply;
  if (exit.ok) return "completed";
  return exit.error.code === CANCELLED_CODE ? "cancelled" : "failed";
}

function endOf(outcome: NonNullable<RequestRecord["outcome"]>): number {
  return outcome.state === "answered" ? outcome.answeredAt : outcome.deadLetter.deadSince;
}

function entityOf({ entityType, executionId }: ExecutionKey): { entityType: string; entityId: string } {
  return { entityType, entityId: executionId };
}

function executionOf({ entityType, entityId }: EntityAddress): ExecutionKey {
  return { entityType, executionId: entityId };
}
