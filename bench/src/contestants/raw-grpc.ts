// The limit of gRPC: a unary call of 200 bytes to another process.

import { Client, credentials } from "@grpc/grpc-js";
import type { OpenContestant } from "../contestant.ts";
import { PAYLOAD } from "../definitions.ts";
import { startOther } from "./other-process.ts";
import { UNARY } from "./unary.ts";

export const open: OpenContestant = async () => {
  const answerer = await startOther("answerers.ts", "raw-grpc");
  const client = new Client(String(answerer.said), credentials.createInsecure());
  const request = Buffer.from(PAYLOAD);
  const { path, requestSerialize, responseDeserialize } = UNARY;
  return {
    workloads: {
      hop: {
        kind: "closed loop",
        call: () =>
          new Promise((resolve, reject) =>
            client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, reply) =>
              error === null ? resolve(reply) : reject(error),
            ),
          ),
      },
    },
    close() {
      client.close();
      answerer.stop();
      return Promise.resolve();
    },
  };
};
