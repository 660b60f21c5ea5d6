import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { DeliveryQueue } from "./delivery-queue.ts";

const turn = (): Promise<void> => new SystemClock().nextTurn();

function queueOf(recorded: readonly number[] = []): {
  queue: DeliveryQueue;
  delivered: number[];
  deliver: (ordinal: number) => void;
  settle: () => Promise<void>;
  idles: () => number;
} {
  const clock = new VirtualClock();
  const delivered: number[] = [];
  let idles = 0;
  const queue = new DeliveryQueue(clock, recorded, () => (idles += 1));
  return {
    queue,
    delivered,
    deliver: (ordinal) => queue.deliver(ordinal, () => delivered.push(ordinal)),
    settle: () => clock.settle(),
    idles: () => idles,
  };
}

describe("a delivery queue", () => {
  it("delivers recorded results in the order of their ordinals, however they are asked for (Q1)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .uniqueArray(fc.nat(50), { maxLength: 12 })
          .chain((ordinals) =>
            fc.tuple(
              fc.constant(ordinals.toSorted((a, b) => a - b)),
              fc.shuffledSubarray(ordinals, { minLength: ordinals.length }),
            ),
          ),
        async ([recorded, asked]) => {
          const { delivered, deliver, settle } = queueOf(recorded);
          for (const ordinal of asked) {
            deliver(ordinal);
            await turn();
          }
          await settle();
          expect(delivered).toEqual(recorded);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("lets a turn pass before each delivery (Q2)", async () => {
    const { queue, delivered, deliver, settle } = queueOf([0, 1]);
    const seen: string[] = [];
    queue.deliver(0, () => {
      delivered.push(0);
      void (async () => {
        for (let step = 0; step < 50; step += 1) await Promise.resolve();
        seen.push(`after 50 microtasks: ${delivered.join(",")}`);
      })();
    });
    deliver(1);
    expect(delivered, "nothing in the turn of the asking").toEqual([]);
    await settle();
    expect(delivered).toEqual([0, 1]);
    expect(seen).toEqual(["after 50 microtasks: 0"]);
  });

  it("holds later results up behind one that was announced and is not there yet (Q3)", async () => {
    const { queue, delivered, deliver, settle } = queueOf();
    queue.announce(4);
    queue.announce(7);
    deliver(7);
    await settle();
    expect(delivered).toEqual([]);
    deliver(4);
    await settle();
    expect(delivered).toEqual([4, 7]);
  });

  it("lets later results go on when one that was announced is given up", async () => {
    const { queue, delivered, deliver, settle } = queueOf();
    queue.announce(4);
    queue.announce(7);
    deliver(7);
    await settle();
    queue.giveUp(4);
    await settle();
    expect(delivered).toEqual([7]);
  });

  it("puts live results behind recorded ones", async () => {
    const { queue, delivered, deliver, settle } = queueOf([3]);
    queue.announce(9);
    deliver(9);
    await settle();
    expect(delivered).toEqual([]);
    expect(queue.isReplaying).toBe(true);
    deliver(3);
    await settle();
    expect(delivered).toEqual([3, 9]);
    expect(queue.isReplaying).toBe(false);
  });

  it("replays until the last recorded result is with the code", async () => {
    const { queue, settle } = queueOf([0]);
    const replaying: boolean[] = [];
    queue.deliver(0, () => replaying.push(queue.isReplaying));
    expect(queue.isReplaying).toBe(true);
    await settle();
    expect(replaying, "what the code does about it is new").toEqual([false]);
    expect(queueOf().queue.isReplaying).toBe(false);
  });

  it("says when nothing is left to deliver, and not before", async () => {
    const { queue, deliver, settle, idles } = queueOf([0, 1, 2]);
    deliver(1);
    await settle();
    expect(idles()).toBe(1);
    deliver(0);
    expect(queue.isPumping).toBe(true);
    await settle();
    expect(queue.isPumping).toBe(false);
    expect(idles(), "0 and 1 in one go").toBe(2);
  });

  it("delivers nothing once it was stopped, also what was on its way", async () => {
    const { queue, delivered, deliver, settle } = queueOf([0, 1]);
    deliver(0);
    deliver(1);
    queue.stop();
    await settle();
    expect(delivered).toEqual([]);
    expect(queue.isPumping).toBe(false);
  });
});
