import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeMessage } from "./codec.ts";
import { decodeFrame } from "./protocol.ts";
import { SendQueue } from "./send-queue.ts";

const LIMIT = 10_000_000;

function nonces(frame: Buffer): readonly unknown[] {
  return decodeFrame(frame).messages.map((message) => (message["ping"] as { nonce: unknown }).nonce);
}

describe("the queue", () => {
  it("gives out in frames what was put in: in order, once, whatever comes between (Q1)", () => {
    const sizes = fc.array(fc.oneof(fc.nat(50), fc.constant(100_000), fc.constant("take" as const)), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(sizes, (steps) => {
        const queue = new SendQueue({ maxMessages: 1_000, maxBytes: LIMIT });
        const sent: string[] = [];
        const got: unknown[] = [];
        for (const step of steps) {
          if (step === "take") {
            const frame = queue.takeFrame();
            if (frame !== null) got.push(...nonces(frame));
          } else {
            const message = { type: "ping", nonce: `${sent.length}`.padEnd(step) } as const;
            expect(queue.add(message, encodeMessage(message, LIMIT))).toBe(true);
            sent.push(message.nonce);
          }
        }
        for (let frame = queue.takeFrame(); frame !== null; frame = queue.takeFrame())
          got.push(...nonces(frame));
        expect(got).toEqual(sent);
        expect(queue.isEmpty).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it("refuses what does not fit, and takes it once there is room (Q2)", () => {
    const queue = new SendQueue({ maxMessages: 2, maxBytes: 1_000 });
    const small = { type: "ping", nonce: "" } as const;
    const bytes = encodeMessage(small, LIMIT);
    expect([queue.add(small, bytes), queue.add(small, bytes), queue.add(small, bytes)]).toEqual([
      true,
      true,
      false,
    ]);
    queue.takeFrame();
    const large = { type: "ping", nonce: "x".repeat(2_000) } as const;
    // One alone always fits: else it could never be sent.
    expect(queue.add(large, encodeMessage(large, LIMIT))).toBe(true);
    expect(queue.add(small, bytes)).toBe(false);
    expect(queue.takeAll()).toEqual([large]);
    expect(queue.takeFrame()).toBeNull();
  });
});
