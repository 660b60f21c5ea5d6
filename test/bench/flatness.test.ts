import { describe, expect, it } from "vitest";
import { flatnessOf } from "../../bench/src/flatness.ts";
import { slopeOf } from "../../bench/src/slope.ts";

/** So many samples, 10,000 operations apart; `noise` of 100 KB goes up and down between them. */
const samples = (count: number, bytesEach: number, noise = 100_000) =>
  Array.from({ length: count }, (_, index) => ({
    operations: index * 10_000,
    bytes: 5e7 + index * 10_000 * bytesEach + noise * (((index * 7) % 5) / 4 - 0.5),
  }));

describe("a slope", () => {
  it("is that of a line, without doubt", () => {
    const points = Array.from({ length: 10 }, (_, x) => ({ x, y: 3 * x + 1 }));
    expect(slopeOf(points)).toEqual({ slope: 3, least: 3, most: 3 });
  });

  it("is not moved by a point that sticks out", () => {
    const points = Array.from({ length: 21 }, (_, x) => ({ x, y: x === 20 ? 1e6 : 2 * x }));
    const { slope, least, most } = slopeOf(points);
    expect([slope, least]).toEqual([2, 2]);
    expect(most).toBeGreaterThanOrEqual(2);
  });

  it("is not known by a few points", () => {
    const { slope, least, most } = slopeOf([0, 1, 2].map((x) => ({ x, y: x })));
    expect([slope, least, most]).toEqual([1, Number.NaN, Number.NaN]);
  });
});

describe("memory", () => {
  it("is flat when nothing is kept", () => {
    expect(flatnessOf(samples(80, 0)).verdict).toBe("flat");
  });

  it("grows when an object of 100 bytes is kept for every tenth operation", () => {
    expect(flatnessOf(samples(80, 10)).verdict).toBe("grows");
  });

  it("cannot be told when there are few samples, or noise is larger than what would be seen", () => {
    expect(flatnessOf(samples(5, 0)).verdict).toBe("cannot be told");
    expect(flatnessOf(samples(12, 0, 1e6)).verdict).toBe("cannot be told");
  });

  it("may grow in the first quarter", () => {
    const warming = samples(80, 0).map(({ operations, bytes }, index) => ({
      operations,
      bytes: index < 20 ? bytes - (20 - index) * 1e6 : bytes,
    }));
    expect(flatnessOf(warming)).toMatchObject({ verdict: "flat", judged: 60 });
  });
});
