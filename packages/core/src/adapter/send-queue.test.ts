import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { SendQueue } from "./send-queue.ts";

const FRAME_BYTES = 64 * 1_024;

function ping(nonce: string): WireMessage {
  return { type: "ping", nonce };
}

function bytesOf(message: WireMessage): Buffer {
  return Buffer.from(JSON.stringify(message));
}

describe("the queue", () => {
  it("gives out in frames what was put in: in order, once, whatever comes between (Q1)", () => {
    const sizes = fc.array(fc.oneof(fc.nat(50), fc.constant(100_000), fc.constant("take" as const)), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(sizes, (steps) => {
        const queue = new SendQueue({ maxMessages: 1_000, maxBytes: 10_000_000 });
        const sent: WireMessage[] = [];
        const got: WireMessage[] = [];
        const take = (): boolean => {
          const frame = queue.take(FRAME_BYTES);
          const size = frame.reduce((sum, { bytes }) => sum + bytes.length, 0);
          expect(frame.length === 1 || size <= FRAME_BYTES).toBe(true);
          got.push(...frame.map(({ message }) => message));
          return frame.length > 0;
        };
        for (const step of steps) {
          if (step === "take") take();
          else {
            const message = ping(`${sent.length}`.padEnd(step));
            expect(queue.add(message, bytesOf(message))).toBe(true);
            sent.push(message);
          }
        }
        while (take());
        expect(got).toEqual(sent);
        expect(queue.isEmpty).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it("refuses what does not fit, and takes it once there is room (Q2)", () => {
    const queue = new SendQueue({ maxMessages: 2, maxBytes: 1_000 });
    const small = ping("");
    const add = (message: WireMessage): boolean => queue.add(message, bytesOf(message));
    expect([add(small), add(small), add(small)]).toEqual([true, true, false]);
    queue.take(FRAME_BYTES);
    const large = ping("x".repeat(2_000));
    // One alone always fits: else it could never be sent.
    expect(add(large)).toBe(true);
    expect(add(small)).toBe(false);
    expect(queue.takeAll()).toEqual([large]);
    expect(queue.take(FRAME_BYTES)).toEqual([]);
  });

  it("keeps nothing alive that was taken, while other messages wait (Q2)", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const queue = new SendQueue({ maxMessages: 10, maxBytes: 1_000 });
    const taken = ((): WeakRef<WireMessage> => {
      const message = ping("taken");
      queue.add(message, bytesOf(message));
      queue.add(ping("waits"), bytesOf(ping("waits")));
      expect(queue.take(1)).toHaveLength(1);
      return new WeakRef(message);
    })();
    // A WeakRef holds what it names until the end of the turn.
    await new SystemClock().nextTurn();
    collectGarbage();
    expect(taken.deref()).toBeUndefined();
    expect(queue.isEmpty).toBe(false);
  });
});
