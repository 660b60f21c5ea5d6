// What the tests of this package do with a storage: requests, claims and transactions.

import { randomUUID } from "node:crypto";
import type {
  Envelope,
  ExecutionKey,
  ExecutionTags,
  Fence,
  JournalEntry,
  MessageStorage,
  Reply,
  ShardId,
} from "@holdfast/core/adapter";
import type pg from "pg";
import { PostgresTransaction } from "../src/postgres-transaction.ts";

/**
 * How many rows of a schema the transaction of this connection has read until now, through an index or not.
 *
 * @param client in a transaction; PostgreSQL counts what an index gives for the index, and not for its table
 */
export async function countRowsRead(client: pg.Client, schema: string): Promise<number> {
  const { rows } = await client.query<{ read: string }>(
    `SELECT sum(CASE c.relkind WHEN 'r' THEN pg_stat_get_xact_tuples_returned(c.oid)
         ELSE pg_stat_get_xact_tuples_fetched(c.oid) END) AS read
       FROM pg_class c WHERE c.relkind IN ('r', 'i') AND c.relnamespace = $1::regnamespace`,
    [schema],
  );
  return Number(rows[0]?.read);
}

/** What a step that has ended has in its journal. */
export const ENTRY: JournalEntry = {
  ordinal: 0,
  position: 0,
  kind: "run",
  name: "step",
  event: { type: "completed", value: "1" },
};

/** What reads a journal alone. */
export const NO_INBOX: ExecutionTags = { execution: "execute", inbox: [] };

export function request(changes: Partial<Envelope> = {}): Envelope {
  return {
    requestId: randomUUID(),
    address: { entityType: "Counter", entityId: "a", shardId: "default:1" },
    tag: "increment",
    payload: "{}",
    headers: {},
    persisted: true,
    expects: "reply",
    deduplicationKey: null,
    deliverAt: null,
    uninterruptible: false,
    fromInside: false,
    sender: "test",
    readPendingFirst: false,
    ...changes,
  };
}

/** The request that an execution of the workflow Order is, with an id as they are made. */
export function startOf(executionId: string): Envelope {
  return request({
    requestId: randomUUID().replaceAll("-", ""),
    address: { entityType: "workflow:Order", entityId: executionId, shardId: "default:1" },
    tag: "execute",
    deduplicationKey: "execute",
  });
}

/** The execution as who runs it names it. */
export function ownedBy({ requestId, address }: Envelope): ExecutionKey {
  return { entityType: address.entityType, executionId: address.entityId, requestId };
}

export function succeeded(requestId: string): Reply {
  return { requestId, exit: { ok: true, value: "1" } };
}

export async function claim(messages: MessageStorage, shardId: ShardId = "default:1"): Promise<Fence> {
  const [epoch = 0] = await messages.claimShards([shardId]);
  return { shardId, epoch };
}

export function begin(messages: MessageStorage): PostgresTransaction {
  const transaction = messages.beginTransaction?.();
  if (!(transaction instanceof PostgresTransaction))
    throw new Error("The storage begins no transaction of its own.");
  return transaction;
}
