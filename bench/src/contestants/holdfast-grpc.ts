// Holdfast's transport over gRPC: a request of 200 bytes to another process and its reply, as JSON on both ends.

import type { OpenContestant } from "../contestant.ts";
import { openMember } from "./member.ts";
import { startOther } from "./other-process.ts";

export const open: OpenContestant = async () => {
  const answerer = await startOther("answerers.ts", "holdfast-grpc", "");
  const member = await openMember("grpc", "", "caller");
  return {
    workloads: { hop: { kind: "closed loop", call: () => member.call(String(answerer.said)) } },
    async close() {
      await member.close();
      answerer.stop();
    },
  };
};
