import { describe, expect, it } from "vitest";
import { RecentIds } from "./recent-ids.ts";

describe("recent ids", () => {
  it("know an id that was given lately", () => {
    const ids = new RecentIds(3);
    expect(ids.add("a")).toBe(true);
    expect(ids.add("a")).toBe(false);
    expect(ids.add("b")).toBe(true);
    expect(ids.add("a")).toBe(false);
  });

  it("remember at least as many as their capacity, and at most twice as many", () => {
    for (let given = 1; given <= 60; given += 1) {
      // A fresh one for each question, since asking adds the id.
      const isKnown = (id: number): boolean => {
        const ids = new RecentIds(10);
        for (let each = 0; each < given; each += 1) ids.add(`${each}`);
        return !ids.add(`${id}`);
      };
      const remembered = Array.from({ length: given }, (_, id) => id).filter(isKnown);
      expect(remembered.length).toBeGreaterThanOrEqual(Math.min(10, given));
      expect(remembered.length).toBeLessThanOrEqual(20);
      expect(remembered, "the last ones").toEqual(
        Array.from({ length: remembered.length }, (_, at) => given - remembered.length + at),
      );
    }
  });
});
