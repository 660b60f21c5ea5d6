// PostgresMessageStorage: requests and replies in PostgreSQL.
//
// Writes that carry a fence go through the group commit, or commit a handler's transaction; the rest are single calls.
// What a duplicate is a duplicate of is read in a second trip: duplicates are rare.

import {
  PersistenceError,
  TransactionUnavailableError,
  type Chunk,
  type DeadLetter,
  type EncodedError,
  type EntityAddress,
  type Envelope,
  type Epoch,
  type Fence,
  type ForgetQuery,
  type MessageStorage,
  type MessageStorageSupport,
  type PendingPage,
  type PendingQuery,
  type Reply,
  type RequestState,
  type SaveRequestResult,
  type ShardId,
  type StorageTransaction,
} from "@holdfast/core/adapter";
import { assertStorable, isStorable } from "./errors.ts";
import { pendingOf, type PendingRows } from "./pending-rows.ts";
import type { PostgresSession } from "./postgres-session.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";
import { deadLetterOf, stateOf, type DeadLetterRow, type StateRow } from "./request-row.ts";
import { plainArray, textArray } from "./sql-array.ts";
import type { WakeUps } from "./wake-ups.ts";

/** `rows` is null if there is none, `due` if nothing falls due later. */
interface PendingAnswer {
  readonly rows: readonly PendingRows[] | null;
  readonly more: boolean;
  readonly due: number | null;
}

/** `pg` gives a time as text. */
interface ForgottenRow {
  readonly forgotten: number;
  readonly last_answered_at: number | string | null;
}

/** How many times as many requests as a page of a backlog has are looked at: as many runners may have such a share of it. */
const AHEAD = 4;

export class PostgresMessageStorage implements MessageStorage {
  readonly supports: MessageStorageSupport;
  readonly watchPending?: (wake: (shardIds: readonly ShardId[]) => void) => Promise<() => Promise<void>>;
  readonly #session: PostgresSession;
  readonly #wakeUps: WakeUps | null;
  /** Of the last page: whether there was more to come, and of how many shards it was. */
  #last = { more: false, shards: 0 };
  /** Where the next batch of a type of executions begins: when the last one of the batch before it was answered. */
  readonly #lastForgotten = new Map<string, number>();

  /** @param wakeUps null where no other process could save anything */
  constructor(session: PostgresSession, wakeUps: WakeUps | null) {
    this.#session = session;
    this.#wakeUps = wakeUps;
    this.supports = { transactions: true, wakeUps: wakeUps !== null };
    if (wakeUps !== null) this.watchPending = (wake) => wakeUps.watch(wake);
  }

  async claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]> {
    this.#session.assertOpen("claimShards");
    if (shardIds.length === 0) return [];
    const { gate } = this.#session;
    const rows = await this.#session.takeOver<{ claim_shards_v9: string }>("claimShards", "claim_shards_v9", [
      textArray(shardIds),
      gate.id,
    ]);
    const epochs = JSON.parse((rows[0] as { claim_shards_v9: string }).claim_shards_v9) as Record<
      ShardId,
      Epoch
    >;
    return shardIds.map((shardId) => {
      const epoch = epochs[shardId] as Epoch;
      gate.opened(shardId, epoch);
      return epoch;
    });
  }

  async saveRequest(
    envelope: Envelope,
    attempts: number,
    fence: Fence | null,
    ready?: () => Reply | null,
  ): Promise<SaveRequestResult> {
    assertStorable(envelope.requestId, "A request id");
    assertStorable(envelope.address.entityId, "An entity id");
    assertStorable(envelope.deduplicationKey ?? "", "A deduplication key");
    for (;;) {
      // A reply is written on behalf of a shard.
      const op = {
        type: "request",
        envelope,
        attempts,
        fence,
        ready: fence === null ? undefined : ready,
      } as const;
      const result = await this.#session.write("saveRequest", op);
      if (result.type === "accepted") {
        if (fence === null) this.#wakeUps?.announce(envelope.address.shardId);
        const { sequence, isAnswered } = result;
        return { outcome: "accepted", sequence, ...(isAnswered ? { isAnswered } : {}) };
      }
      const existing = await this.#existing(envelope);
      if (existing !== null) return { outcome: "duplicate", ...existing };
      // It was forgotten since: this one is the first now.
    }
  }

  async readPending(query: PendingQuery): Promise<PendingPage> {
    this.#session.assertOpen("readPending");
    if (query.shardIds.length === 0) return { requests: [], more: false, nextDueAt: null };
    const ahead = this.#mayBeBacklog(query) ? AHEAD * (query.limit + 1) + query.excludingSequences.length : 0;
    const [answer] = await this.#session.read<{ read_pending_v11: string }>(
      "readPending",
      "read_pending_v11",
      [
        textArray([...new Set(query.shardIds)]),
        Math.floor(query.now),
        query.limit,
        plainArray(query.excludingSequences),
        textArray(query.excludingEntities.map(({ entityType }) => entityType)),
        textArray(query.excludingEntities.map(({ entityId }) => entityId)),
        ahead,
      ],
    );
    const { rows, more, due } = JSON.parse(
      (answer as { read_pending_v11: string }).read_pending_v11,
    ) as PendingAnswer;
    this.#last = { more, shards: query.shardIds.length };
    return { requests: pendingOf(rows ?? []), more, nextDueAt: due };
  }

  /** Shards that were added may have one. What only sleeps is not looked through for nothing at each read. */
  #mayBeBacklog({ shardIds }: PendingQuery): boolean {
    return this.#last.more || shardIds.length > this.#last.shards;
  }

  async recordAttempt(requestId: string, attempts: number, fence: Fence): Promise<void> {
    await this.#session.write("recordAttempt", {
      type: "update",
      requestId,
      attempts,
      deliverAt: undefined,
      fence,
    });
  }

  async reschedule(
    requestId: string,
    schedule: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): Promise<void> {
    await this.#session.write("reschedule", { type: "update", requestId, ...schedule, fence });
  }

  async saveReply(reply: Reply, fence: Fence, transaction: StorageTransaction | null): Promise<Reply> {
    const opened = transaction === null ? null : await openedHere(transaction);
    const op = { type: "reply", reply, fence } as const;
    if (opened?.hasBegun === true) {
      const isRecorded = async (): Promise<boolean> => (await this.#recordedReply(reply.requestId)) !== null;
      if ((await this.#session.commit("saveReply", op, opened, isRecorded)) === "committed") return reply;
      const recorded = await this.#recordedReply(reply.requestId);
      if (recorded === null) throw unknownRequest("saveReply", reply.requestId);
      return recorded;
    }
    // Nothing was written in it: the reply needs no transaction of its own.
    await opened?.rollback();
    while ((await this.#session.write("saveReply", op)).type === "refused") {
      const [found] = await this.#states("saveReply", "look_up_v1", [textArray([reply.requestId])]);
      if (found === undefined) throw unknownRequest("saveReply", reply.requestId);
      if (found.existing.state === "answered") return found.existing.reply;
      // It was reopened since the write: no reply is recorded now. An error must not undo that, a result is its end.
      if (!reply.exit.ok)
        throw new PersistenceError({
          operation: "saveReply",
          outcome: "not-written",
          detail: `the request ${reply.requestId} was reopened meanwhile`,
        });
    }
    return reply;
  }

  async lookUp(requestIds: readonly string[]): Promise<readonly RequestState[]> {
    this.#session.assertOpen("lookUp");
    if (requestIds.length === 0) return [];
    const states = await this.#states("lookUp", "look_up_v1", [textArray([...new Set(requestIds)])]);
    return states.map(({ existing }) => existing);
  }

  async lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): Promise<RequestState | null> {
    const key = [entity.entityType, entity.entityId, tag, deduplicationKey];
    // It would find another's, whose id or key is what comes of this in UTF-8.
    if (!key.every(isStorable)) return null;
    const [found] = await this.#states("lookUpByKey", "look_up_by_key_v1", key);
    return found?.existing ?? null;
  }

  async saveChunk(chunk: Chunk, fence: Fence): Promise<void> {
    const result = await this.#session.write("saveChunk", { type: "chunk", chunk, fence });
    if (result.type === "refused") throw unknownRequest("saveChunk", chunk.requestId);
  }

  async readChunks(
    requestId: string,
    from: number,
  ): Promise<{ readonly chunks: readonly Chunk[]; readonly saved: number }> {
    const rows = await this.#session.read<{ index: number; value: string; saved: number | null }>(
      "readChunks",
      "read_chunks_v1",
      [requestId, from],
    );
    const saved = rows.pop()?.saved ?? 0;
    return { chunks: rows.map(({ index, value }) => ({ requestId, index, value })), saved };
  }

  async acknowledgeChunks(requestId: string, upTo: number): Promise<void> {
    await this.#session.call("acknowledgeChunks", "acknowledge_chunks_v1", [requestId, upTo]);
  }

  async saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): Promise<void> {
    await this.#session.write("saveDeadLetter", { type: "dead", requestId, letter, fence });
  }

  async listDeadLetters(query: { limit: number; after: string | null }): Promise<readonly DeadLetter[]> {
    const rows = await this.#session.read<DeadLetterRow>("listDeadLetters", "list_dead_letters_v1", [
      query.limit,
      query.after,
    ]);
    return rows.map(deadLetterOf);
  }

  async requeueDeadLetter(requestId: string, executionTag: string | null): Promise<EntityAddress | null> {
    const [row] = await this.#session.call<{ entity_type: string; entity_id: string; shard_id: string }>(
      "requeueDeadLetter",
      "requeue_dead_letter_v7",
      [requestId, executionTag],
    );
    if (row === undefined) return null;
    this.#wakeUps?.announce(row.shard_id as ShardId);
    return { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id as ShardId };
  }

  async dropDeadLetter(requestId: string, executionTag: string | null): Promise<boolean> {
    const values = [requestId, executionTag];
    return (await this.#session.call("dropDeadLetter", "drop_dead_letter_v5", values)).length > 0;
  }

  async forgetAnswered({ entityType, answeredBefore, limit, executionTag }: ForgetQuery): Promise<number> {
    const from = this.#lastForgotten.get(entityType) ?? null;
    const [row] = await this.#session.call<ForgottenRow>("forgetAnswered", "forget_answered_v14", [
      entityType,
      Math.floor(answeredBefore),
      limit,
      executionTag ?? null,
      from,
    ]);
    const { forgotten, last_answered_at: last } = row as ForgottenRow;
    // Of other types nothing is passed over.
    if (forgotten >= limit && executionTag !== undefined) this.#lastForgotten.set(entityType, Number(last));
    else this.#lastForgotten.delete(entityType);
    return forgotten;
  }

  beginTransaction(after?: Promise<unknown>): StorageTransaction {
    return this.#session.beginTransaction(after);
  }

  /** The request that this one is a duplicate of: by id, else by key. */
  async #existing(envelope: Envelope): Promise<{ sequence: number; existing: RequestState } | null> {
    const { address, tag, deduplicationKey } = envelope;
    let [found] = await this.#states("saveRequest", "look_up_v1", [textArray([envelope.requestId])]);
    if (found === undefined && deduplicationKey !== null) {
      const key = [address.entityType, address.entityId, tag, deduplicationKey];
      [found] = await this.#states("saveRequest", "look_up_by_key_v1", key);
    }
    return found ?? null;
  }

  async #recordedReply(requestId: string): Promise<Reply | null> {
    const [state] = await this.#states("saveReply", "look_up_v1", [textArray([requestId])]);
    return state?.existing.state === "answered" ? state.existing.reply : null;
  }

  async #states(
    operation: string,
    functionName: string,
    values: readonly string[],
  ): Promise<{ sequence: number; existing: RequestState }[]> {
    const rows = await this.#session.read<StateRow>(operation, functionName, values);
    return rows.map((row) => ({ sequence: Number(row.sequence), existing: stateOf(row) }));
  }
}

/** @throws {TransactionUnavailableError} another storage opened it; it is rolled back */
export async function openedHere(transaction: StorageTransaction): Promise<PostgresTransaction> {
  if (transaction instanceof PostgresTransaction) return transaction;
  await transaction.rollback();
  throw new TransactionUnavailableError({
    wanted: "postgres",
    why: `the transaction given is one of "${transaction.kind}"`,
  });
}

function unknownRequest(operation: string, requestId: string): PersistenceError {
  const detail = `request ${requestId} was never accepted, or is forgotten`;
  return new PersistenceError({ operation, outcome: "not-written", detail });
}
