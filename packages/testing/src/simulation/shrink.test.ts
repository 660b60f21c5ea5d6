import { describe, expect, it } from "vitest";
import { newTries, shrinkList } from "./shrink.ts";

const numbers = Array.from({ length: 40 }, (_, n) => n);

describe("a failing list", () => {
  it.each([[[]], [[0]], [[39]], [[3, 17]], [[0, 1, 2, 38, 39]]])(
    "is made as small as %j, which it takes",
    async (needed) => {
      const smallest = await shrinkList(
        numbers,
        async (kept) => needed.every((number) => kept.includes(number)),
        newTries(),
      );
      expect(smallest).toEqual(needed);
    },
  );

  it("stays as it is where each of it is needed", async () => {
    await expect(shrinkList(numbers, async () => false)).resolves.toEqual(numbers);
  });

  it("is still one that fails when there are no tries left", async () => {
    const tries = { left: 7 };
    let runs = 0;
    const smallest = await shrinkList(
      numbers,
      async (kept) => {
        runs += 1;
        return kept.includes(5) && kept.includes(31);
      },
      tries,
    );
    expect(runs).toBe(7);
    expect(tries.left).toBe(0);
    expect(smallest).toEqual(expect.arrayContaining([5, 31]));
    expect(smallest.length).toBeLessThan(numbers.length);
  });
});
