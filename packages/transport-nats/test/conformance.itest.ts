import { randomUUID } from "node:crypto";
import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import { transportConformance } from "@holdfast/testing";
import { describe, inject } from "vitest";
import { nats } from "../src/index.ts";
import { optionsFromUrl } from "../src/options-url.ts";

const url = inject("natsUrl");
/** What a NATS server takes unless it is told otherwise. */
const MAX_PAYLOAD = 1_048_576;

describe.skipIf(url === null)("with a NATS server", () => {
  transportConformance("NATS", () => {
    // A cluster of its own for each case.
    const prefix = `test.${randomUUID()}`;
    return {
      open: () =>
        nats({ ...optionsFromUrl(url ?? ""), prefix }).open({
          clock: new SystemClock(),
          random: new SystemRandom(),
        }),
      deadAddress: `${prefix}.nobody`,
      maxMessageBytes: MAX_PAYLOAD,
      settle: () => new Promise((resolve) => setTimeout(resolve, 100)),
      dispose: () => Promise.resolve(),
    };
  });
});
