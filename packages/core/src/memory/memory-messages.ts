// MemoryMessages: the data of requests and replies in the memory of one process. Sessions' handles on it are in
// memory-message-storage.ts.
//
// Each method checks its fence and writes without an `await` between, so that nothing comes between the two, and no write
// is ever in flight: a claim waits for none. What was written is as durable as this object. Values are kept and handed out
// as they are: they never change.
//
//   S1  `#requests` has every request that is not forgotten; `#keys` those of them that have a deduplication key.
//   S2  A record is in its shard's PendingIndex if and only if its state is pending, and in `#dead` if and only if dead.
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
import { PendingIndex, type PendingEntry } from "./pending-index.ts";

interface RequestRecord extends PendingEntry {
  readonly envelope: Envelope;
  attempts: number;
  outcome: Outcome | null;
  stream: StreamRecord | null;
}

/** How a request ended; null while it is pending. */
type Outcome =
  | { readonly state: "answered"; readonly reply: Reply; readonly answeredAt: number }
  | { readonly state: "dead"; readonly deadLetter: DeadLetter };

interface StreamRecord {
  /** Kept chunks by index. */
  readonly chunks: Map<number, Chunk>;
  saved: number;
  acknowledged: number;
}

/** The data of a memory storage's requests, shared by its sessions. */
export class MemoryMessages {
  readonly #epochs: MemoryEpochs;
  readonly #forgetJournal: (execution: ExecutionKey) => void;
  readonly #requests = new Map<string, RequestRecord>();
  readonly #keys = new Map<string, RequestRecord>();
  readonly #pending = new Map<ShardId, PendingIndex<RequestRecord>>();
  readonly #dead = new Map<string, RequestRecord & { readonly outcome: { readonly state: "dead" } }>();
  readonly #answered = new Map<string, Set<RequestRecord>>();
  #lastAnsweredAt = 0;
  #lastSequence = 0;

  /** @param forgetJournal forgets the journal of an execution */
  constructor(epochs: MemoryEpochs, forgetJournal: (execution: ExecutionKey) => void) {
    this.#epochs = epochs;
    this.#forgetJournal = forgetJournal;
  }

  claimShards(shardIds: readonly ShardId[]): readonly Epoch[] {
    return shardIds.map((shardId) => this.#epochs.raise(shardId));
  }

  saveRequest(envelope: Envelope, attempts: number, fence: Fence | null): SaveRequestResult {
    if (fence !== null) this.#epochs.check(fence);
    const key =
      envelope.deduplicationKey === null
        ? null
        : keyOf(envelope.address, envelope.tag, envelope.deduplicationKey);
    const existing =
      this.#requests.get(envelope.requestId) ?? (key === null ? undefined : this.#keys.get(key));
    if (existing !== undefined) {
      return { outcome: "duplicate", sequence: existing.sequence, existing: stateOf(existing) };
    }
    const record: RequestRecord = {
      envelope,
      sequence: (this.#lastSequence += 1),
      attempts,
      deliverAt: envelope.deliverAt,
      outcome: null,
      stream: null,
      place: "none",
    };
    this.#requests.set(envelope.requestId, record);
    if (key !== null) this.#keys.set(key, record);
    this.#pendingOf(envelope.address.shardId).add(record);
    return { outcome: "accepted", sequence: record.sequence };
  }

  readPending(query: PendingQuery): PendingPage {
    const indexes = [...new Set(query.shardIds)].flatMap((shardId) => this.#pending.get(shardId) ?? []);
    const sequences = new Set(query.excludingSequences);
    const entities = new Set(query.excludingEntities.map(entityKey));
    const requests: PendingRequest[] = [];
    let more = false;
    for (const record of inOrder(indexes, query.now)) {
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
    this.#leavePending(record);
    this.#dead.delete(reply.requestId);
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
    const record = this.#keys.get(keyOf(entity, tag, deduplicationKey));
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
    this.#leavePending(record);
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

  requeueDeadLetter(requestId: string): EntityAddress | null {
    const record: RequestRecord | undefined = this.#dead.get(requestId);
    if (record === undefined) return null;
    this.#dead.delete(requestId);
    record.outcome = null;
    record.attempts = 0;
    record.deliverAt = null;
    this.#pendingOf(record.envelope.address.shardId).add(record);
    return record.envelope.address;
  }

  dropDeadLetter(requestId: string): boolean {
    const record = this.#dead.get(requestId);
    if (record === undefined) return false;
    this.#dead.delete(requestId);
    this.#forget(record);
    return true;
  }

  forgetAnswered(query: ForgetQuery): number {
    const answered = this.#answered.get(query.entityType);
    let forgotten = 0;
    for (const record of answered ?? []) {
      if (forgotten >= query.limit || record.outcome?.state !== "answered") break;
      if (record.outcome.answeredAt >= query.answeredBefore) break;
      answered?.delete(record);
      this.#forget(record);
      const { address, tag } = record.envelope;
      if (tag === query.executionTag)
        this.#forgetJournal({ entityType: address.entityType, executionId: address.entityId });
      forgotten += 1;
    }
    return forgotten;
  }

  #pendingOf(shardId: ShardId): PendingIndex<RequestRecord> {
    let index = this.#pending.get(shardId);
    if (index === undefined) this.#pending.set(shardId, (index = new PendingIndex()));
    return index;
  }

  #leavePending(record: RequestRecord): void {
    this.#pending.get(record.envelope.address.shardId)?.remove(record);
  }

  #forget({ envelope }: RequestRecord): void {
    this.#requests.delete(envelope.requestId);
    if (envelope.deduplicationKey !== null) {
      this.#keys.delete(keyOf(envelope.address, envelope.tag, envelope.deduplicationKey));
    }
  }
}

function stateOf(record: RequestRecord): RequestState {
  const { requestId } = record.envelope;
  if (record.outcome === null) {
    return { state: "pending", requestId, deliverAt: record.deliverAt, attempts: record.attempts };
  }
  return record.outcome.state === "answered"
    ? { state: "answered", requestId, reply: record.outcome.reply }
    : { state: "dead", requestId, deadLetter: record.outcome.deadLetter };
}

/** Types and tags are checked names without `/`, and the length says where the id ends: no two keys share one. */
function keyOf(
  entity: { entityType: string; entityId: string },
  tag: string,
  deduplicationKey: string,
): string {
  return `${entity.entityType}/${tag}/${entity.entityId.length}/${entity.entityId}/${deduplicationKey}`;
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
