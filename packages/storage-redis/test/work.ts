// What the tests of this package do with a storage: requests, claims and journals.

import { randomUUID } from "node:crypto";
import type {
  Envelope,
  ExecutionKey,
  Fence,
  JournalEntry,
  MessageStorage,
  PendingQuery,
  Reply,
  ShardId,
  WorkflowStorage,
} from "@holdfast/core/adapter";

export const ORDER: ExecutionKey = { entityType: "workflow:Order", executionId: "1" };

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

export function succeeded(requestId: string, value: string = "1"): Reply {
  return { requestId, exit: { ok: true, value } };
}

export function entry(ordinal: number): JournalEntry {
  return {
    ordinal,
    position: ordinal,
    kind: "run",
    name: `step ${ordinal}`,
    event: { type: "completed", value: "1" },
  };
}

export async function claim(messages: MessageStorage, shardId: ShardId = "default:1"): Promise<Fence> {
  const [epoch = 0] = await messages.claimShards([shardId]);
  return { shardId, epoch };
}

/** The ordinals of ORDER's journal. */
export async function ordinalsOf(workflows: WorkflowStorage): Promise<number[]> {
  const { entries } = await workflows.readExecution(ORDER, { execution: "execute", inbox: [] });
  return entries.map(({ ordinal }) => ordinal);
}

export function due(changes: Partial<PendingQuery> = {}): PendingQuery {
  return {
    shardIds: ["default:1"],
    now: 1_000,
    limit: 1_000,
    excludingSequences: [],
    excludingEntities: [],
    ...changes,
  };
}
