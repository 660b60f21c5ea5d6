import { describe, expect, it } from "vitest";
import { describeThrown } from "./thrown.ts";

describe("what the log shows of what was thrown", () => {
  it("is its stack, or what it says", () => {
    const thrown = new Error("out of paper");
    expect(describeThrown(thrown)).toBe(thrown.stack);
    expect(describeThrown(7)).toBe("NonError: Something that is not an Error was thrown: 7");
  });

  it("is the beginning of one that holds a whole response", () => {
    const shown = describeThrown(new Error(`The bank said ${"x".repeat(10_000_000)}`));
    expect(shown).toMatch(/^Error: The bank said x+…$/u);
    expect(shown.length).toBeLessThan(20_000);
  });
});
