import { describe, expect, it } from "vitest";
import { checkOneAtATime, type Stay } from "./one-at-a-time.ts";

const stay = (of: string, from: number, to: number): Stay => ({ of, who: `the one from ${from}`, from, to });

describe("one at a time", () => {
  it("holds where stays follow one another, or are of different things", () => {
    checkOneAtATime([]);
    checkOneAtATime([stay("a", 5, Infinity), stay("a", 0, 2), stay("a", 2, 5), stay("b", 1, 4)]);
  });

  it.each<[string, readonly Stay[]]>([
    ["one begins before another's end", [stay("a", 0, 3), stay("a", 2, 5)]],
    ["one never ended", [stay("a", 0, Infinity), stay("a", 100, 101)]],
    ["one lies within another", [stay("a", 0, 9), stay("b", 0, 1), stay("a", 2, 3)]],
  ])("does not where %s", (_, stays) => {
    expect(() => checkOneAtATime(stays)).toThrow(
      expect.objectContaining({ name: "Violation", invariant: "one at a time" }),
    );
  });
});
