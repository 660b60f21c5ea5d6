import { describe, expect, it } from "vitest";
import { checkExactlyOnce } from "./exactly-once.ts";

describe("exactly once", () => {
  it("holds where each acknowledged key has one effect, and others have one or none", () => {
    checkExactlyOnce({ effects: [], acknowledged: [] });
    checkExactlyOnce({ effects: ["a", "b"], acknowledged: ["a"], asked: ["a", "b", "c"] });
  });

  it.each([
    ["an effect is there twice", { effects: ["a", "b", "a"], acknowledged: [] }, /a has 2 effects/u],
    ["what was acknowledged has none", { effects: ["a"], acknowledged: ["a", "b"] }, /b was acknowledged/u],
    ["nobody asked for one", { effects: ["a", "x"], acknowledged: ["a"], asked: ["b"] }, /x has an effect/u],
  ])("does not where %s", (_, history, what) => {
    expect(() => checkExactlyOnce(history)).toThrow(
      expect.objectContaining({ name: "Violation", invariant: "exactly once" }),
    );
    expect(() => checkExactlyOnce(history)).toThrow(what);
  });
});
