// Calls at a fixed rate, in a time of their own.

import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { dueBy, openLoop, type Time } from "../../bench/src/open-loop.ts";

/** A time in which only what is waited for passes, and what a call takes of the process. */
class FakeTime implements Time {
  #now = 1_000;

  now(): number {
    return this.#now;
  }

  /** Nobody else does anything meanwhile. */
  spend(ms: number): void {
    this.#now += ms;
  }

  async sleep(ms: number): Promise<void> {
    // What is answered now is seen to be.
    await turn();
    this.#now += ms;
  }
}

describe("an open loop", () => {
  it("has so many calls due when so much has passed", () => {
    expect([0, 9, 10, 25].map((ms) => dueBy(ms, 10))).toEqual([1, 1, 2, 3]);
  });

  it("asks at its rate, and not for those that are answered", async () => {
    const time = new FakeTime();
    const at: number[] = [];
    const never = new Promise<void>(() => undefined);
    const call = (): Promise<void> => {
      at.push(time.now());
      return never;
    };
    const arrived = await openLoop(call, { perSecond: 100, count: 4 }, () => undefined, time);
    expect(at).toEqual([1_000, 1_010, 1_020, 1_030]);
    expect(arrived).toMatchObject({ asked: 4, answered: 0, failed: 0, lost: 4 });
  });

  it("times a call from when it was due, not from when a busy process came to it", async () => {
    const time = new FakeTime();
    const took: number[] = [];
    const call = (index: number): Promise<void> => {
      if (index === 1) time.spend(35);
      return Promise.resolve();
    };
    await openLoop(call, { perSecond: 100, count: 6 }, (index, ms) => (took[index] = ms), time);
    expect(took).toEqual([0, 35, 25, 15, 5, 0]);
  });

  it("counts those that fail, and says what the first one said", async () => {
    const call = (index: number): Promise<void> =>
      index % 2 === 0 ? Promise.resolve() : Promise.reject(new RangeError(`number ${index}`));
    const arrived = await openLoop(call, { perSecond: 100, count: 5 }, () => undefined, new FakeTime());
    expect(arrived).toMatchObject({ answered: 3, failed: 2, lost: 0, failure: "RangeError: number 1" });
  });
});
