// MemoryMessages: what becomes of requests in the memory of one process: their table is in memory-requests.ts, sessions'
// handles on both in memory-message-storage.ts.
//
// Each method checks its fence and writes without an `await` between, so that nothing comes between the two, and no write
// is ever in flight: a claim waits for none. What was written is as durable as this object. Values are kept and handed out
// as they are: they never change.
//
//   S1  `#requests` has every request that is not forgotten.
//   S2  A record is in its shard's PendingIndex if and only if its state is pending, in `#dead` if and only if dead, and in
//       `#answered` if and only if answered.
//   S3  Times of answering never fall in the order of `#answered`, so that the oldest are found without a search.

import type {
  ForgetQuery,
  PendingPage,
  PendingQuery,
  RequestState,
  SaveRequestResult,
} from "../adapter/message-storage.ts";
import type { ExecutionKey } from "../adapter/workflow-storage.ts";
import { BinaryHeap } from "../clock/binary-heap.ts";
import type { DeadLetter } from "../data/dead-letter.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { Envelope, PendingRequest } from "../data/envelope.ts";
import type { Epoch, Fence } from "../data/epoch.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import { PersistenceError } from "../errors/storage.ts";
import type { MemoryEpochs } from "./memory-epochs.ts";
import { stateOf, type MemoryRequests, type RequestRecord } from "./memory-requests.ts";
import { PendingIndex } from "./pending-index.ts";

/** What becomes of a memory storage's requests, shared by its sessions. */
export class MemoryMessages {
  readonly #epochs: MemoryEpochs;
  readonly #forgetJournal: (execution: ExecutionKey) => void;
  readonly #requests: MemoryRequests;
  readonly #pending = new Map<ShardId, PendingIndex<RequestRecord>>();
  readonly #dead = new Map<string, RequestRecord & { readonly outcome: { readonly state: "dead" } }>();
  readonly #answered = new Map<string, Set<RequestRecord>>();
  #lastAnsweredAt = 0;

  /** @param forgetJournal forgets the journal and the attributes of an execution */
  constructor(
    epochs: MemoryEpochs,
    requests: MemoryRequests,
    forgetJournal: (execution: ExecutionKey) => void,
  ) {
    this.#epochs = epochs;
    this.#requests = requests;
    this.#forgetJournal = forgetJournal;
  }

  claimShards(shardIds: readonly ShardId[]): readonly Epoch[] {
    return shardIds.map((shardId) => this.#epochs.raise(shardId));
  }

  saveRequest(envelope: Envelope, attempts: number, fence: Fence | null): SaveRequestResult {
    if (fence !== null) this.#epochs.check(fence);
    const existing = this.#requests.same(envelope);
    if (existing !== undefined) {
      return { outcome: "duplicate", sequence: existing.sequence, existing: stateOf(existing) };
    }
    const record = this.#requests.add(envelope, attempts);
    this.#pendingOf(envelope.address.shardId).add(record);
    return { outcome: "accepted", sequence: record.sequence };
  }

  readPending(query: PendingQuery): PendingPage {
    const indexes = new Set<PendingIndex<RequestRecord>>();
    for (const shardId of query.shardIds) {
      const index = this.#pending.get(shardId);
      if (index !== undefined) indexes.add(index);
    }
    const sequences = new Set(query.excludingSequences);
    const entities = new Set(query.excludingEntities.map(entityKey));
    const requests: PendingRequest[] = [];
    let more = false;
    for (const record of inOrder([...indexes], query.now)) {
      if (sequences.has(record.sequence)) continue;
      if (entities.size > 0 && entities.has(entityKey(record.envelope.address))) continue;
      if (requests.length >= query.limit) {
        more = true;
        break;
      }
      requests.push({ envelope: record.envelope, sequence: record.sequence, attempts: record.attempts });
    }
    let nextDueAt: number | null = null;
    for (const index of indexes) {
      const dueAt = index.nextDueAt(query.now);
      if (dueAt !== null && (nextDueAt === null || dueAt < nextDueAt)) nextDueAt = dueAt;
    }
    return { requests, more, nextDueAt };
  }

  recordAttempt(requestId: string, attempts: number, fence: Fence): void {
    this.#epochs.check(fence);
    const record = this.#requests.get(requestId);
    if (record?.outcome === null) record.attempts = attempts;
  }

  reschedule(
    requestId: string,
    schedule: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): void {
    this.#epochs.check(fence);
    const record = this.#requests.get(requestId);
    if (record?.outcome !== null) return;
    const index = this.#pendingOf(record.envelope.address.shardId);
    index.remove(record);
    record.deliverAt = schedule.deliverAt;
    record.attempts = schedule.attempts;
    index.add(record);
  }

  saveReply(reply: Reply, fence: Fence, now: number): Reply {
    this.#epochs.check(fence);
    const record = this.#requests.get(reply.requestId);
    if (record === undefined) {
      throw new PersistenceError({
        operation: "saveReply",
        outcome: "not-written",
        detail: `request ${reply.requestId} was never accepted, or is forgotten`,
      });
    }
    if (record.outcome?.state === "answered") return record.outcome.reply;
    this.#leave(record);
    this.#lastAnsweredAt = Math.max(this.#lastAnsweredAt, now);
    record.outcome = { state: "answered", reply, answeredAt: this.#lastAnsweredAt };
    const { entityType } = record.envelope.address;
    let answered = this.#answered.get(entityType);
    if (answered === undefined) this.#answered.set(entityType, (answered = new Set()));
    answered.add(record);
    return reply;
  }

  lookUp(requestIds: readonly string[]): readonly RequestState[] {
    return [...new Set(requestIds)].flatMap((requestId) => {
      const record = this.#requests.get(requestId);
      return record === undefined ? [] : stateOf(record);
    });
  }

  lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): RequestState | null {
    const record = this.#requests.withKey(entity, tag, deduplicationKey);
    return record === undefined ? null : stateOf(record);
  }

  saveChunk(chunk: Chunk, fence: Fence): void {
    this.#epochs.check(fence);
    const record = this.#requests.get(chunk.requestId);
    if (record === undefined) {
      throw new PersistenceError({
        operation: "saveChunk",
        outcome: "not-written",
        detail: `request ${chunk.requestId} was never accepted, or is forgotten`,
      });
    }
    record.stream ??= { chunks: new Map(), saved: 0, acknowledged: 0 };
    const { stream } = record;
    if (chunk.index < stream.acknowledged || stream.chunks.has(chunk.index)) return;
    stream.chunks.set(chunk.index, chunk);
    stream.saved = Math.max(stream.saved, chunk.index + 1);
  }

  readChunks(requestId: string, from: number): { readonly chunks: readonly Chunk[]; readonly saved: number } {
    const stream = this.#requests.get(requestId)?.stream;
    if (stream === null || stream === undefined) return { chunks: [], saved: 0 };
    const chunks: Chunk[] = [];
    for (let index = Math.max(from, stream.acknowledged); index < stream.saved; index += 1) {
      const chunk = stream.chunks.get(index);
      if (chunk !== undefined) chunks.push(chunk);
    }
    return { chunks, saved: stream.saved };
  }

  acknowledgeChunks(requestId: string, upTo: number): void {
    const stream = this.#requests.get(requestId)?.stream;
    if (stream === null || stream === undefined) return;
    const end = Math.min(upTo, stream.saved);
    for (let index = stream.acknowledged; index < end; index += 1) stream.chunks.delete(index);
    stream.acknowledged = Math.max(stream.acknowledged, end);
  }

  saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): void {
    this.#epochs.check(fence);
    const record = this.#requests.get(requestId);
    if (record?.outcome !== null) return;
    this.#leave(record);
    record.attempts = letter.attempts;
    const { envelope } = record;
    const outcome = { state: "dead", deadLetter: { envelope, ...letter } } as const;
    this.#dead.set(requestId, Object.assign(record, { outcome }));
  }

  listDeadLetters(query: { limit: number; after: string | null }): readonly DeadLetter[] {
    // A person asks, and dead letters are few: sorted when asked for.
    const letters = Array.from(this.#dead.values(), ({ outcome }) => outcome.deadLetter).toSorted(
      (a, b) => a.deadSince - b.deadSince || (a.envelope.requestId < b.envelope.requestId ? -1 : 1),
    );
    const seen =
      query.after === null ? -1 : letters.findIndex(({ envelope }) => envelope.requestId === query.after);
    return letters.slice(seen + 1, seen + 1 + query.limit);
  }

  requeueDeadLetter(requestId: string, executionTag: string | null): EntityAddress | null {
    const record = this.#dead.get(requestId);
    if (record === undefined) return null;
    this.handleAgain(record);
    if (record.envelope.tag === executionTag) record.attempts = 1;
    return record.envelope.address;
  }

  dropDeadLetter(requestId: string, executionTag: string | null): boolean {
    const record = this.#dead.get(requestId);
    if (record === undefined) return false;
    if (isExecution(record, executionTag)) this.#forgetExecution(record.envelope.address);
    else this.forget(record);
    return true;
  }

  forgetAnswered({ entityType, answeredBefore, limit, executionTag }: ForgetQuery): number {
    let forgotten = 0;
    for (const record of this.#answered.get(entityType) ?? []) {
      if (forgotten >= limit || record.outcome?.state !== "answered") break;
      if (record.outcome.answeredAt >= answeredBefore) break;
      if (executionTag !== undefined && record.envelope.tag !== executionTag) continue;
      if (isExecution(record, executionTag)) this.#forgetExecution(record.envelope.address);
      else this.forget(record);
      forgotten += 1;
    }
    return forgotten;
  }

  /** Forgets a request, whatever became of it. */
  forget(record: RequestRecord): void {
    this.#leave(record);
    this.#requests.remove(record);
  }

  /** Takes back what became of a request, and makes it pending and due, with no attempts on its count. */
  handleAgain(record: RequestRecord): void {
    this.#leave(record);
    record.outcome = null;
    record.attempts = 0;
    record.deliverAt = null;
    this.#pendingOf(record.envelope.address.shardId).add(record);
  }

  /** Forgets all that is known of an execution. */
  #forgetExecution(address: EntityAddress): void {
    for (const each of this.#requests.of(address)) this.forget(each);
    this.#forgetJournal({ entityType: address.entityType, executionId: address.entityId });
  }

  #pendingOf(shardId: ShardId): PendingIndex<RequestRecord> {
    let index = this.#pending.get(shardId);
    if (index === undefined) this.#pending.set(shardId, (index = new PendingIndex()));
    return index;
  }

  /** Takes a record out of where its state has put it (S2). */
  #leave(record: RequestRecord): void {
    const { requestId, address } = record.envelope;
    this.#pending.get(address.shardId)?.remove(record);
    this.#dead.delete(requestId);
    this.#answered.get(address.entityType)?.delete(record);
  }
}

/** Another request of the tag is none: it must not take the execution along. */
function isExecution({ envelope }: RequestRecord, executionTag: string | null | undefined): boolean {
  return envelope.tag === executionTag && envelope.deduplicationKey === executionTag;
}

/** The due records of several shards in the order of their sequences. */
function* inOrder(
  indexes: readonly PendingIndex<RequestRecord>[],
  now: number,
): Generator<RequestRecord, void, undefined> {
  const due = indexes.filter((index) => index.hasDue(now));
  const [only] = due;
  if (due.length === 1 && only !== undefined) {
    yield* only.due(now);
    return;
  }
  const heads = new BinaryHeap<{ record: RequestRecord; rest: Iterator<RequestRecord, void> }>(
    (a, b) => a.record.sequence < b.record.sequence,
  );
  for (const index of due) {
    const rest = index.due(now);
    const first = rest.next();
    if (first.done !== true) heads.push({ record: first.value, rest });
  }
  for (;;) {
    const head = heads.pop();
    if (head === undefined) return;
    yield head.record;
    const next = head.rest.next();
    if (next.done !== true) heads.push({ record: next.value, rest: head.rest });
  }
}
