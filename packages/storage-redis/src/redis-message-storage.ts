// RedisMessageStorage: requests and replies in Redis. Each method is one script, which Redis runs alone and as a whole, but for
// readPending and forgetAnswered, which are a few where there is much to do.

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
import { assertStorable, isStorable, unknownRequest } from "./errors.ts";
import type { RedisSession } from "./redis-session.ts";
import {
  deadLetterOf,
  dueField,
  envelopeOf,
  fieldsOf,
  numberOf,
  replyOf,
  restOf,
  stateOf,
  type RequestRow,
} from "./request-fields.ts";
import { SCRIPTS } from "./script.ts";
import type { WakeUps } from "./wake-ups.ts";

/** What read-pending returns. */
type PendingAnswer = readonly [more: number, nextDueAt: string, rows: readonly RequestRow[]];

export class RedisMessageStorage implements MessageStorage {
  /** Redis has no transaction that could stay open while a handler runs. */
  readonly supports: MessageStorageSupport = { transactions: false, wakeUps: true };
  readonly #session: RedisSession;
  readonly #wakeUps: WakeUps;

  constructor(session: RedisSession, wakeUps: WakeUps) {
    this.#session = session;
    this.#wakeUps = wakeUps;
  }

  async claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]> {
    return this.#session.claimShards(shardIds);
  }

  async saveRequest(envelope: Envelope, attempts: number, fence: Fence | null): Promise<SaveRequestResult> {
    const { requestId, address, tag, deduplicationKey } = envelope;
    assertStorable(requestId, "A request id");
    assertStorable(address.entityId, "An entity id");
    assertStorable(deduplicationKey ?? "", "A deduplication key");
    const { channel, name } = this.#session;
    const args = [
      requestId,
      address.shardId,
      address.entityType,
      address.entityId,
      tag,
      envelope.payload,
      restOf(envelope),
      dueField(envelope.deliverAt),
      String(attempts),
      fence === null ? channel : "",
      `${name} ${address.shardId}`,
      ...(deduplicationKey === null ? [] : [deduplicationKey]),
    ];
    const call = { operation: "saveRequest", script: SCRIPTS.saveRequest, args };
    const answer = await this.#session.writeFenced<["accepted", number] | ["duplicate", RequestRow]>(
      call,
      fence,
    );
    if (answer[0] === "accepted") return { outcome: "accepted", sequence: answer[1] };
    const fields = fieldsOf(answer[1]);
    return { outcome: "duplicate", sequence: Number(fields.sequence), existing: stateOf(fields) };
  }

  async readPending(query: PendingQuery): Promise<PendingPage> {
    const args = [
      String(query.now),
      String(query.limit),
      ...listOf([...new Set(query.shardIds)]),
      ...listOf(query.excludingSequences.map(String)),
      ...listOf(query.excludingEntities.map(({ entityType, entityId }) => `${entityType}/${entityId}`)),
    ];
    const call = { operation: "readPending", script: SCRIPTS.readPending, args };
    let answer: PendingAnswer | readonly [] = [];
    while (answer.length === 0) answer = await this.#session.read<PendingAnswer | readonly []>(call);
    const [more, nextDueAt, rows] = answer;
    const requests = rows.map(fieldsOf).map((fields) => ({
      envelope: envelopeOf(fields),
      sequence: Number(fields.sequence),
      attempts: Number(fields.attempts),
    }));
    return { requests, more: more === 1, nextDueAt: numberOf(nextDueAt) };
  }

  async recordAttempt(requestId: string, attempts: number, fence: Fence): Promise<void> {
    const args = [requestId, String(attempts)];
    const call = { operation: "recordAttempt", script: SCRIPTS.updatePending, args };
    await this.#session.writeFenced(call, fence);
  }

  async reschedule(
    requestId: string,
    { deliverAt, attempts }: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): Promise<void> {
    const args = [requestId, String(attempts), dueField(deliverAt)];
    const call = { operation: "reschedule", script: SCRIPTS.updatePending, args };
    await this.#session.writeFenced(call, fence);
  }

  async saveReply(reply: Reply, fence: Fence, transaction: StorageTransaction | null): Promise<Reply> {
    if (transaction !== null) await refuse(transaction);
    const { requestId, exit } = reply;
    const args = [
      requestId,
      exit.ok ? "1" : "0",
      exit.ok ? exit.value : JSON.stringify(exit.error),
      exit.ok ? "" : (exit.error.code ?? ""),
      String(Math.floor(this.#session.clock.now())),
    ];
    const call = { operation: "saveReply", script: SCRIPTS.saveReply, args };
    const answer = await this.#session.writeFenced<["done" | "unknown"] | ["recorded", string, string]>(
      call,
      fence,
    );
    if (answer[0] === "unknown") throw unknownRequest("saveReply", requestId);
    return answer[0] === "recorded" ? replyOf(requestId, answer[1], answer[2]) : reply;
  }

  async lookUp(requestIds: readonly string[]): Promise<readonly RequestState[]> {
    const args = [...new Set(requestIds)];
    return this.#states({ operation: "lookUp", script: SCRIPTS.lookUp, args });
  }

  async lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): Promise<RequestState | null> {
    const args = [entity.entityType, entity.entityId, tag, deduplicationKey];
    // It would find another's, whose id or key is what comes of this in UTF-8.
    if (!args.every(isStorable)) return null;
    const [found] = await this.#states({ operation: "lookUpByKey", script: SCRIPTS.lookUpByKey, args });
    return found ?? null;
  }

  async saveChunk({ requestId, index, value }: Chunk, fence: Fence): Promise<void> {
    const args = [requestId, String(index), value];
    const call = { operation: "saveChunk", script: SCRIPTS.saveChunk, args };
    const [outcome] = await this.#session.writeFenced(call, fence);
    if (outcome === "unknown") throw unknownRequest("saveChunk", requestId);
  }

  async readChunks(
    requestId: string,
    from: number,
  ): Promise<{ readonly chunks: readonly Chunk[]; readonly saved: number }> {
    const args = [requestId, String(from)];
    const call = { operation: "readChunks", script: SCRIPTS.readChunks, args };
    const [saved, ...pairs] = await this.#session.read<[number, ...(number | string)[]]>(call);
    const chunks: Chunk[] = [];
    for (let at = 0; at < pairs.length; at += 2)
      chunks.push({ requestId, index: Number(pairs[at]), value: String(pairs[at + 1]) });
    return { chunks, saved };
  }

  async acknowledgeChunks(requestId: string, upTo: number): Promise<void> {
    const args = [requestId, String(upTo)];
    await this.#session.write({ operation: "acknowledgeChunks", script: SCRIPTS.acknowledgeChunks, args });
  }

  async saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): Promise<void> {
    const { error, attempts, deadSince } = letter;
    const args = [requestId, JSON.stringify(error), String(attempts), String(deadSince)];
    const call = { operation: "saveDeadLetter", script: SCRIPTS.saveDeadLetter, args };
    await this.#session.writeFenced(call, fence);
  }

  async listDeadLetters(query: { limit: number; after: string | null }): Promise<readonly DeadLetter[]> {
    const args = [String(query.limit), ...(query.after === null ? [] : [query.after])];
    const call = { operation: "listDeadLetters", script: SCRIPTS.listDeadLetters, args };
    const rows = await this.#session.read<RequestRow[]>(call);
    return rows.map((row) => deadLetterOf(fieldsOf(row)));
  }

  async requeueDeadLetter(requestId: string, executionTag: string | null): Promise<EntityAddress | null> {
    const { name, channel } = this.#session;
    const args = [requestId, name, channel, ...(executionTag === null ? [] : [executionTag])];
    const call = { operation: "requeueDeadLetter", script: SCRIPTS.requeueDeadLetter, args };
    const [entityType, entityId, shardId] = await this.#session.write<string[]>(call);
    if (entityType === undefined || entityId === undefined) return null;
    return { entityType, entityId, shardId: shardId as ShardId };
  }

  async dropDeadLetter(requestId: string, executionTag: string | null): Promise<boolean> {
    const args = [requestId, ...(executionTag === null ? [] : [executionTag])];
    const call = { operation: "dropDeadLetter", script: SCRIPTS.dropDeadLetter, args };
    return (await this.#session.write<number>(call)) === 1;
  }

  async forgetAnswered(query: ForgetQuery): Promise<number> {
    const { entityType, answeredBefore, limit, executionTag } = query;
    const tag = executionTag === undefined ? [] : [executionTag];
    let forgotten = 0;
    let goesOn = true;
    while (goesOn && forgotten < limit) {
      const args = [entityType, String(answeredBefore), String(limit - forgotten), ...tag];
      const call = { operation: "forgetAnswered", script: SCRIPTS.forgetAnswered, args };
      try {
        const [count, more] = await this.#session.write<[number, number]>(call);
        forgotten += count;
        goesOn = more === 1;
      } catch (error) {
        throw forgotten > 0 && error instanceof PersistenceError
          ? partlyWritten("forgetAnswered", error)
          : error;
      }
    }
    return forgotten;
  }

  watchPending(wake: (shardIds: readonly ShardId[]) => void): Promise<() => Promise<void>> {
    return this.#wakeUps.watch(wake);
  }

  async #states(call: Parameters<RedisSession["read"]>[0]): Promise<RequestState[]> {
    return (await this.#session.read<RequestRow[]>(call)).map((row) => stateOf(fieldsOf(row)));
  }
}

/** Rolls back a transaction, which is another storage's. @throws {TransactionUnavailableError} always */
export async function refuse(transaction: StorageTransaction): Promise<never> {
  await transaction.rollback();
  throw new TransactionUnavailableError({
    wanted: transaction.kind,
    why: "the Redis storage has no transactions",
  });
}

/** The failure of one part of a call, whose parts before it were written. */
function partlyWritten(operation: string, error: PersistenceError): PersistenceError {
  return new PersistenceError({ operation, outcome: "unknown", detail: error.detail }, { cause: error });
}

/** A list as scripts read it: its length before it. */
function listOf(values: readonly string[]): readonly string[] {
  return [String(values.length), ...values];
}
