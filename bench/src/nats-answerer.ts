// The other end of the hops that nats-hop.ts measures, in a process of its own: bare requests and those of a member are
// answered with what they brought.

import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import type { TransportListener } from "@holdfast/core/adapter";
import { nats } from "@holdfast/transport-nats";
import { connect } from "@nats-io/transport-node";

const [servers = ""] = process.argv.slice(2);
const client = await connect({ servers });
client.subscribe("bare", { callback: (_, message) => void message.respond(message.data) });
client.subscribe("bare.json", {
  callback: (_, message) => {
    const { envelope } = message.json<{ envelope: { requestId: string; payload: string } }>();
    const { requestId, payload: value } = envelope;
    message.respond(JSON.stringify({ type: "reply", reply: { requestId, exit: { ok: true, value } } }));
  },
});
await client.flush();
const transport = await nats({ servers, prefix: "bench", name: "answerer" }).open({
  clock: new SystemClock(),
  random: new SystemRandom(),
});
const listener: TransportListener = {
  receive(from, message) {
    if (message.type !== "request") return;
    const { requestId, payload: value } = message.envelope;
    transport.send(from, { type: "reply", reply: { requestId, exit: { ok: true, value } } });
  },
  undelivered: () => undefined,
  disconnected: () => undefined,
};
console.log(await transport.start(listener));
