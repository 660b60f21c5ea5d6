import { describe, expect, it } from "vitest";
import { settled } from "./settled.ts";

/** How many microtasks pass until it resolves. */
async function microtasksUntil(promise: Promise<unknown>): Promise<number> {
  let passed = 0;
  const progress = { isOver: false };
  void promise.then(() => (progress.isOver = true));
  for (; !progress.isOver; passed += 1) await Promise.resolve();
  return passed;
}

const reason = new Error("It failed");

describe("settled", () => {
  it("says how work ended, as Promise.allSettled does", async () => {
    expect([await settled(Promise.resolve(1))]).toEqual(await Promise.allSettled([Promise.resolve(1)]));
    expect([await settled(Promise.reject(reason))]).toEqual(
      await Promise.allSettled([Promise.reject(reason)]),
    );
  });

  it.each([
    ["succeeded", () => Promise.resolve(1)],
    ["failed", () => Promise.reject<number>(reason)],
  ])(
    "takes as many microtasks as Promise.allSettled where work %s: a seed's run stays the same",
    async (_, work) => {
      const expected = await microtasksUntil(Promise.allSettled([work()]));
      expect(await microtasksUntil(settled(work()))).toBe(expected);
    },
  );
});
