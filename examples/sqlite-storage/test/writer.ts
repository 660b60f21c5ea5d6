// A process that writes to a file until its shard is claimed by another: node writer.ts <file> <shard> <name>
//
// Each round saves a request, writes a row of the user's in the transaction of its reply, and appends to a journal. It tells
// each round once everything in it was reported as written, and its end by "fenced".

import { FencedError, type Envelope, type ShardId } from "@holdfast/core/adapter";
import { adapterServices } from "@holdfast/testing";
import { sqlite } from "../src/index.ts";
import { opened } from "./backends.ts";

const [path = "", shard = "", name = ""] = process.argv.slice(2);
const shardId = shard as ShardId;
const storage = await sqlite({ path }).open(adapterServices());
const { messages, workflows } = storage;
const [epoch = 0] = await messages.claimShards([shardId]);
const fence = { shardId, epoch };
const execution = { entityType: "workflow:Writer", executionId: name };

try {
  for (let round = 0; ; round += 1) await write(round);
} catch (error) {
  if (!(error instanceof FencedError)) throw error;
  console.log("fenced");
}
await storage.close();

async function write(round: number): Promise<void> {
  const requestId = `${name}-${round}`;
  const envelope: Envelope = {
    requestId,
    address: { entityType: "Counter", entityId: name, shardId },
    tag: "add",
    payload: "{}",
    headers: {},
    persisted: true,
    expects: "reply",
    deduplicationKey: null,
    deliverAt: null,
    uninterruptible: false,
    fromInside: false,
    sender: name,
    readPendingFirst: false,
  };
  const saved = await messages.saveRequest(envelope, 1, fence);
  const transaction = opened(messages.beginTransaction?.());
  await transaction.query("INSERT INTO effects VALUES (?)", [requestId]);
  await messages.saveReply({ requestId, exit: { ok: true, value: String(round) } }, fence, transaction);
  const event = { type: "completed", value: String(round) } as const;
  await workflows.appendJournal(
    execution,
    [{ ordinal: round, position: round, kind: "activity", name: "write", event }],
    fence,
    null,
  );
  console.log(`wrote ${round} as ${saved.sequence}`);
}
