// SqliteMessageStorage: requests and replies in SQLite.
//
// A method is one transaction. What it looks at and what it writes cannot change in between, since it has the file's write
// lock from its beginning on (sqlite-session.ts): so there is no race to think about in any of them.

import {
  CANCELLED_CODE,
  entityKey,
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
import { assertStorable, isStorable, notWritten } from "./errors.ts";
import { dropDeadLetter, forgetAnswered } from "./retention.ts";
import { deadLetterOf, envelopeOf, replyOf, stateOf, type RequestRow } from "./request-row.ts";
import { addRequest, findByKey, findRequest, findSame, handleAgain } from "./requests.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { checkFence, type SqliteSession } from "./sqlite-session.ts";
import { openedHere, SqliteTransaction } from "./sqlite-transaction.ts";

/** Thrown inside of a transaction, so that it is rolled back: there is a recorded reply. */
class AlreadyAnswered extends Error {
  readonly recorded: Reply;

  constructor(recorded: Reply) {
    super("There is a recorded reply.");
    this.recorded = recorded;
  }
}

export class SqliteMessageStorage implements MessageStorage {
  /** Nobody tells of what another process saved: it is found by polling. */
  readonly supports: MessageStorageSupport = { transactions: true, wakeUps: false };
  readonly #session: SqliteSession;

  constructor(session: SqliteSession) {
    this.#session = session;
  }

  async claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]> {
    return this.#session.write("claimShards", (connection) =>
      shardIds.map((shardId) => {
        const raised = connection.get<{ epoch: Epoch }>(
          `INSERT INTO holdfast_shards (shard_id, epoch) VALUES (:shardId, 1)
             ON CONFLICT (shard_id) DO UPDATE SET epoch = epoch + 1 RETURNING epoch`,
          { shardId },
        );
        return (raised as { epoch: Epoch }).epoch;
      }),
    );
  }

  async saveRequest(envelope: Envelope, attempts: number, fence: Fence | null): Promise<SaveRequestResult> {
    assertStorable(envelope.requestId, "A request id");
    assertStorable(envelope.address.entityId, "An entity id");
    assertStorable(envelope.deduplicationKey ?? "", "A deduplication key");
    return this.#session.write("saveRequest", (connection) => {
      if (fence !== null) checkFence(connection, fence);
      const first = findSame(connection, envelope);
      if (first !== undefined)
        return { outcome: "duplicate", sequence: first.sequence, existing: stateOf(first) };
      return { outcome: "accepted", sequence: addRequest(connection, envelope, attempts) };
    });
  }

  async readPending(query: PendingQuery): Promise<PendingPage> {
    const { limit } = query;
    const values = { shards: JSON.stringify(query.shardIds), now: query.now };
    const pending = `FROM holdfast_requests WHERE state = 'pending' AND shard_id IN (SELECT value FROM json_each(:shards))`;
    return this.#session.read("readPending", (connection) => {
      const rows = connection.all<RequestRow>(
        `SELECT * ${pending} AND coalesce(due_at, 0) <= :now
           AND sequence NOT IN (SELECT value FROM json_each(:sequences))
           AND entity_type || '/' || entity_id NOT IN (SELECT value FROM json_each(:entities))
           ORDER BY sequence LIMIT :limit`,
        {
          ...values,
          sequences: JSON.stringify(query.excludingSequences),
          entities: JSON.stringify(query.excludingEntities.map(entityKey)),
          limit: limit + 1,
        },
      );
      const next = connection.get<{ due_at: number | null }>(
        `SELECT min(due_at) AS due_at ${pending} AND coalesce(due_at, 0) > :now`,
        values,
      );
      const requests = rows.slice(0, limit).map((row) => {
        return { envelope: envelopeOf(row), sequence: row.sequence, attempts: row.attempts };
      });
      return { requests, more: rows.length > limit, nextDueAt: next?.due_at ?? null };
    });
  }

  async recordAttempt(requestId: string, attempts: number, fence: Fence): Promise<void> {
    await this.#session.write("recordAttempt", (connection) => {
      checkFence(connection, fence);
      connection.run(
        `UPDATE holdfast_requests SET attempts = :attempts WHERE request_id = :requestId AND state = 'pending'`,
        { requestId, attempts },
      );
    });
  }

  async reschedule(
    requestId: string,
    { deliverAt, attempts }: { deliverAt: number | null; attempts: number },
    fence: Fence,
  ): Promise<void> {
    await this.#session.write("reschedule", (connection) => {
      checkFence(connection, fence);
      connection.run(
        `UPDATE holdfast_requests SET due_at = :deliverAt, attempts = :attempts
           WHERE request_id = :requestId AND state = 'pending'`,
        { requestId, deliverAt, attempts },
      );
    });
  }

  async saveReply(reply: Reply, fence: Fence, transaction: StorageTransaction | null): Promise<Reply> {
    const opened = transaction === null ? null : await openedHere(transaction);
    const record = (connection: SqliteConnection): Reply => this.#record(connection, reply, fence);
    try {
      if (opened?.hasBegun === true) return await opened.commitAfter("saveReply", record);
      // Nothing was written in it: the reply needs no transaction of the handler's.
      await opened?.rollback();
      return await this.#session.write("saveReply", record);
    } catch (error) {
      if (error instanceof AlreadyAnswered) return error.recorded;
      throw error;
    }
  }

  async lookUp(requestIds: readonly string[]): Promise<readonly RequestState[]> {
    return this.#session.read("lookUp", (connection) =>
      connection
        .all<RequestRow>(
          "SELECT * FROM holdfast_requests WHERE request_id IN (SELECT value FROM json_each(:requestIds))",
          { requestIds: JSON.stringify(requestIds) },
        )
        .map(stateOf),
    );
  }

  async lookUpByKey(
    entity: { entityType: string; entityId: string },
    tag: string,
    deduplicationKey: string,
  ): Promise<RequestState | null> {
    return this.#session.read("lookUpByKey", (connection) => {
      // It would find another's, whose id or key is what comes of this in UTF-8.
      if (![entity.entityId, deduplicationKey].every(isStorable)) return null;
      const row = findByKey(connection, entity, tag, deduplicationKey);
      return row === undefined ? null : stateOf(row);
    });
  }

  async saveChunk({ requestId, index, value }: Chunk, fence: Fence): Promise<void> {
    await this.#session.write("saveChunk", (connection) => {
      checkFence(connection, fence);
      const request = findRequest(connection, requestId);
      if (request === undefined) throw unknownRequest("saveChunk", requestId);
      const { sequence } = request;
      if (index < request.chunks_acknowledged) return;
      connection.run(
        "INSERT INTO holdfast_chunks (sequence, chunk_index, value) VALUES (:sequence, :index, :value) ON CONFLICT DO NOTHING",
        { sequence, index, value },
      );
      connection.run(
        "UPDATE holdfast_requests SET chunks_saved = max(chunks_saved, :index + 1) WHERE sequence = :sequence",
        { sequence, index },
      );
    });
  }

  async readChunks(
    requestId: string,
    from: number,
  ): Promise<{ readonly chunks: readonly Chunk[]; readonly saved: number }> {
    return this.#session.read("readChunks", (connection) => {
      const request = findRequest(connection, requestId);
      if (request === undefined) return { chunks: [], saved: 0 };
      const rows = connection.all<{ chunk_index: number; value: string }>(
        `SELECT chunk_index, value FROM holdfast_chunks WHERE sequence = :sequence AND chunk_index >= :from
           ORDER BY chunk_index`,
        { sequence: request.sequence, from },
      );
      const chunks = rows.map(({ chunk_index: index, value }) => ({ requestId, index, value }));
      return { chunks, saved: request.chunks_saved };
    });
  }

  async acknowledgeChunks(requestId: string, upTo: number): Promise<void> {
    await this.#session.write("acknowledgeChunks", (connection) => {
      const request = findRequest(connection, requestId);
      if (request === undefined) return;
      const end = Math.max(request.chunks_acknowledged, Math.min(upTo, request.chunks_saved));
      const values = { sequence: request.sequence, end };
      connection.run("DELETE FROM holdfast_chunks WHERE sequence = :sequence AND chunk_index < :end", values);
      connection.run(
        "UPDATE holdfast_requests SET chunks_acknowledged = :end WHERE sequence = :sequence",
        values,
      );
    });
  }

  async saveDeadLetter(
    requestId: string,
    letter: { error: EncodedError; attempts: number; deadSince: number },
    fence: Fence,
  ): Promise<void> {
    const { error, attempts, deadSince } = letter;
    await this.#session.write("saveDeadLetter", (connection) => {
      checkFence(connection, fence);
      connection.run(
        `UPDATE holdfast_requests SET state = 'dead', attempts = :attempts, ended_at = :deadSince, outcome = :error
           WHERE request_id = :requestId AND state = 'pending'`,
        { requestId, attempts, deadSince, error: JSON.stringify(error) },
      );
    });
  }

  async listDeadLetters(query: { limit: number; after: string | null }): Promise<readonly DeadLetter[]> {
    return this.#session.read("listDeadLetters", (connection) =>
      connection
        .all<RequestRow>(
          // The comparison is NULL where nothing was seen, or what was seen is a dead letter no longer.
          `SELECT * FROM holdfast_requests WHERE state = 'dead' AND coalesce((ended_at, request_id) >
             (SELECT ended_at, request_id FROM holdfast_requests WHERE request_id = :after AND state = 'dead'), TRUE)
             ORDER BY ended_at, request_id LIMIT :limit`,
          query,
        )
        .map(deadLetterOf),
    );
  }

  async requeueDeadLetter(requestId: string, executionTag: string | null): Promise<EntityAddress | null> {
    return this.#session.write("requeueDeadLetter", (connection) => {
      const request = findRequest(connection, requestId);
      if (request?.state !== "dead") return null;
      const { address, tag } = envelopeOf(request);
      handleAgain(connection, request.sequence, tag === executionTag ? 1 : 0);
      return address;
    });
  }

  async dropDeadLetter(requestId: string, executionTag: string | null): Promise<boolean> {
    return this.#session.write("dropDeadLetter", (connection) =>
      dropDeadLetter(connection, requestId, executionTag),
    );
  }

  async forgetAnswered(query: ForgetQuery): Promise<number> {
    return this.#session.write("forgetAnswered", (connection) => forgetAnswered(connection, query));
  }

  beginTransaction(after?: Promise<unknown>): StorageTransaction {
    return new SqliteTransaction(this.#session, after);
  }

  /** @throws {FencedError} @throws {PersistenceError} there is no such request @throws {AlreadyAnswered} */
  #record(connection: SqliteConnection, reply: Reply, fence: Fence): Reply {
    const { requestId, exit } = reply;
    checkFence(connection, fence);
    const request = findRequest(connection, requestId);
    if (request === undefined) throw unknownRequest("saveReply", requestId);
    if (request.state === "answered") throw new AlreadyAnswered(replyOf(request));
    connection.run(
      `UPDATE holdfast_requests SET state = 'answered', ended_at = :now, is_ok = :isOk, is_cancelled = :isCancelled,
         outcome = :outcome WHERE sequence = :sequence`,
      {
        sequence: request.sequence,
        now: this.#session.clock.now(),
        isOk: Number(exit.ok),
        // A column of its own: an error is not read to find the cancelled ones among the failed.
        isCancelled: Number(!exit.ok && exit.error.code === CANCELLED_CODE),
        outcome: exit.ok ? exit.value : JSON.stringify(exit.error),
      },
    );
    return reply;
  }
}

function unknownRequest(operation: string, requestId: string): Error {
  return notWritten(operation, `request ${requestId} was never accepted, or is forgotten`);
}
