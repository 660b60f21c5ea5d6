// Holdfast's transport over NATS: a request of 200 bytes to another process and its reply, as JSON on both ends.

import type { OpenContestant } from "../contestant.ts";
import { openMember } from "./member.ts";
import { startOther } from "./other-process.ts";

export const open: OpenContestant = async (services) => {
  const answerer = await startOther("answerers.ts", "holdfast-nats", services.nats ?? "");
  const member = await openMember("nats", services.nats ?? "", "caller");
  return {
    workloads: { hop: { kind: "closed loop", call: () => member.call(String(answerer.said)) } },
    async close() {
      await member.close();
      answerer.stop();
    },
  };
};
