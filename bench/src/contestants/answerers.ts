// Answerers: the other end of the hops, each in a process of its own, started as `answerers.ts <kind> <url>`. Tells its
// parent where it is, and ends with it.

import { Server, ServerCredentials } from "@grpc/grpc-js";
import { connect } from "@nats-io/transport-node";
import { openMember } from "./member.ts";
import { UNARY } from "./unary.ts";

/** Each answers with what it was brought, and returns its address. */
const answerers: Readonly<Record<string, (url: string) => Promise<string>>> = {
  async "raw-grpc"() {
    const server = new Server();
    server.addService(
      { unary: UNARY },
      {
        unary: (call: { readonly request: Buffer }, reply: (error: null, value: Buffer) => void) =>
          reply(null, call.request),
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return `127.0.0.1:${port}`;
  },
  async "raw-nats"(url) {
    const client = await connect({ servers: url });
    client.subscribe("bare", { callback: (_, message) => void message.respond(message.data) });
    await client.flush();
    return "bare";
  },
  "holdfast-grpc": async () => (await openMember("grpc", "", "answerer")).address,
  "holdfast-nats": async (url) => (await openMember("nats", url, "answerer")).address,
};

const [kind = "", url = ""] = process.argv.slice(2);
process.on("disconnect", () => process.exit());
process.send?.(await answerers[kind]?.(url));
