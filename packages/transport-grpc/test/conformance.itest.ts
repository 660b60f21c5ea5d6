import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import { transportConformance } from "@holdfast/testing";
import { grpc, type GrpcOptions } from "../src/index.ts";

const MAX_MESSAGE_BYTES = 2 * 1_048_576;

const kinds: Readonly<Record<string, GrpcOptions>> = {
  gRPC: {},
  "gRPC with a token": { token: "a-secret-of-the-cluster" },
};

for (const [name, options] of Object.entries(kinds)) {
  transportConformance(name, () => ({
    open: () =>
      grpc({ ...options, maxMessageBytes: MAX_MESSAGE_BYTES }).open({
        clock: new SystemClock(),
        random: new SystemRandom(),
      }),
    deadAddress: "127.0.0.1:1",
    maxMessageBytes: MAX_MESSAGE_BYTES,
    settle: () => new Promise((resolve) => setTimeout(resolve, 100)),
    dispose: () => Promise.resolve(),
  }));
}
