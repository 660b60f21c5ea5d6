import type { Envelope } from "../src/data/envelope.ts";

/** A volatile request of a counter, but for what a test changes of it. */
export function sampleRequest(changes: Partial<Envelope> = {}): Envelope {
  return {
    requestId: "r1",
    address: { entityType: "Counter", entityId: "a", shardId: "default:1" },
    tag: "add",
    payload: "1",
    headers: {},
    persisted: false,
    expects: "reply",
    deduplicationKey: null,
    deliverAt: null,
    uninterruptible: false,
    fromInside: false,
    sender: "s",
    readPendingFirst: false,
    ...changes,
  };
}
