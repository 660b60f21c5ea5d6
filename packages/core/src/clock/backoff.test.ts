import { describe, expect, it } from "vitest";
import type { Random } from "../adapter/random.ts";
import { backoffMs, type Backoff } from "./backoff.ts";

const drawing = (value: number): Random => ({ next: () => value, id: () => "" });

describe("backoffMs", () => {
  const exponential: Backoff = { kind: "exponential", initialMs: 100, maxMs: 1_000, jitter: 0 };

  it("doubles an exponential pause with each attempt, up to the longest", () => {
    expect([1, 2, 3, 4, 5, 2_000].map((attempt) => backoffMs(exponential, attempt, drawing(0)))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });

  it("keeps a constant pause, and not over the longest", () => {
    const constant: Backoff = { ...exponential, kind: "constant" };
    expect([1, 2, 9].map((attempt) => backoffMs(constant, attempt, drawing(0)))).toEqual([100, 100, 100]);
    expect(backoffMs({ ...constant, maxMs: 50 }, 1, drawing(0))).toBe(50);
  });

  it("takes at most its jitter's part off, in whole milliseconds", () => {
    const jittered: Backoff = { ...exponential, jitter: 0.5 };
    expect(backoffMs(jittered, 1, drawing(0))).toBe(100);
    expect(backoffMs(jittered, 1, drawing(0.999_999))).toBe(50);
    expect(backoffMs(jittered, 1, drawing(0.333))).toBe(83);
  });
});
