import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import { shardIdOf, type Envelope, type WireMessage } from "@holdfast/core/adapter";
import { nats } from "@holdfast/transport-nats";
import { connect } from "@nats-io/transport-node";
import { startOwnNats } from "../../test/services/nats.ts";
import { PAYLOAD } from "./definitions.ts";
import { measure, report } from "./rounds.ts";

/** A request to another process and its answer, over the NATS transport, beside request/reply of the NATS client. */
export async function natsHop(): Promise<void> {
  const server = await startOwnNats();
  const program = fileURLToPath(new URL("nats-answerer.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", program, server.url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const to = await new Promise<string>((resolve) => {
      child.stdout.once("data", (data: Buffer) => resolve(data.toString().trim()));
    });
    const client = await connect({ servers: server.url });
    const bytes = new TextEncoder().encode(PAYLOAD);
    const member = await openMember(server.url);
    for (const concurrency of [1, 64]) {
      const measured = await measure([
        {
          name: "bare request/reply",
          concurrency,
          run: () => client.request("bare", bytes, { timeout: 10_000 }),
        },
        {
          name: "bare request/reply, with what a request is as JSON",
          concurrency,
          run: async (index) =>
            (
              await client.request("bare.json", JSON.stringify(requestOf(`${index}`)), { timeout: 10_000 })
            ).json(),
        },
        { name: "a hop of the transport", concurrency, run: () => member.call(to) },
      ]);
      report(`NATS, ${concurrency} in flight (baseline: request/reply of its client)`, measured);
    }
    await client.close();
    await member.close();
  } finally {
    child.kill("SIGKILL");
    await server.stop();
  }
}

function requestOf(requestId: string): Extract<WireMessage, { type: "request" }> {
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

/** Sends requests and waits for their replies, as a cluster does. */
async function openMember(
  servers: string,
): Promise<{ call(to: string): Promise<void>; close(): Promise<void> }> {
  const transport = await nats({ servers, prefix: "bench", name: "caller" }).open({
    clock: new SystemClock(),
    random: new SystemRandom(),
  });
  const waiting = new Map<string, () => void>();
  let calls = 0;
  await transport.start({
    receive(_from, message) {
      if (message.type !== "reply") return;
      waiting.get(message.reply.requestId)?.();
      waiting.delete(message.reply.requestId);
    },
    undelivered(_to, message) {
      throw new Error(`A message (${message.type}) did not arrive`);
    },
    disconnected: () => undefined,
  });
  return {
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
