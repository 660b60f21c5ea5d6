// Member: the two ends of a hop over a transport, without the cluster around it: one sends requests and waits for their
// replies, as a cluster does, and answers those that it gets with what they brought.

import { shardIdOf, type Envelope, type WireMessage } from "@holdfast/core/adapter";
import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import { grpc } from "@holdfast/transport-grpc";
import { nats } from "@holdfast/transport-nats";
import { PAYLOAD } from "../definitions.ts";

export interface Member {
  readonly address: string;
  /** Sends a request, and resolves when its reply is there. */
  call(to: string): Promise<void>;
  close(): Promise<void>;
}

export async function openMember(kind: "grpc" | "nats", url: string, name: string): Promise<Member> {
  const adapter = kind === "grpc" ? grpc() : nats({ servers: url, prefix: "bench", name });
  const transport = await adapter.open({ clock: new SystemClock(), random: new SystemRandom() });
  const waiting = new Map<string, () => void>();
  let calls = 0;
  const address = await transport.start({
    receive(from, message) {
      if (message.type === "request") {
        const { requestId, payload: value } = message.envelope;
        transport.send(from, { type: "reply", reply: { requestId, exit: { ok: true, value } } });
      } else if (message.type === "reply") {
        waiting.get(message.reply.requestId)?.();
        waiting.delete(message.reply.requestId);
      }
    },
    undelivered(_to, message) {
      throw new Error(`A message (${message.type}) did not arrive`);
    },
    disconnected: () => undefined,
  });
  return {
    address,
    call: (to) =>
      new Promise<void>((resolve) => {
        calls += 1;
        const requestId = `0190b2c0a3e07fff8000${calls.toString(16).padStart(12, "0")}`;
        waiting.set(requestId, resolve);
        transport.send(to, requestOf(requestId));
      }),
    close: () => transport.close(1_000),
  };
}

function requestOf(requestId: string): WireMessage {
  const envelope: Envelope = {
    requestId,
    address: { entityType: "Echo", entityId: "e1", shardId: shardIdOf("default", 7) },
    tag: "volatile",
    payload: PAYLOAD,
    headers: {},
    persisted: false,
    expects: "reply",
    deduplicationKey: null,
    deliverAt: null,
    uninterruptible: false,
    fromInside: false,
    sender: "bench.caller",
    readPendingFirst: false,
  };
  return { type: "request", envelope };
}
