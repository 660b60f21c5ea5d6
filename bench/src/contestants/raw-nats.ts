// The limit of NATS: request/reply of its client with 200 bytes, to another process.

import { connect } from "@nats-io/transport-node";
import type { OpenContestant } from "../contestant.ts";
import { PAYLOAD } from "../definitions.ts";
import { startOther } from "./other-process.ts";

export const open: OpenContestant = async ({ nats }) => {
  const answerer = await startOther("answerers.ts", "raw-nats", nats ?? "");
  const client = await connect({ servers: nats ?? "" });
  const request = new TextEncoder().encode(PAYLOAD);
  return {
    workloads: {
      hop: { kind: "closed loop", call: () => client.request("bare", request, { timeout: 10_000 }) },
    },
    async close() {
      await client.close();
      answerer.stop();
    },
  };
};
