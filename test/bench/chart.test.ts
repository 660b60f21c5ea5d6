import { describe, expect, it } from "vitest";
import { chartOf, short } from "../../bench/src/chart.ts";
import { scaleOf } from "../../bench/src/scale.ts";

describe("a scale", () => {
  it("begins at 0, so that a bar's length is its value", () => {
    const scale = scaleOf([120, 480]);
    expect(scale.kind).toBe("linear");
    expect(scale.ticks).toEqual([0, 100, 200, 300, 400, 500]);
    expect([0, 250, 500].map((value) => scale.at(value))).toEqual([0, 0.5, 1]);
  });

  it("has marks at round numbers, whatever the size of the values", () => {
    expect(scaleOf([0.0031]).ticks).toEqual([0, 0.001, 0.002, 0.003, 0.004]);
    expect(scaleOf([70_000, 9_000]).ticks).toEqual([0, 20_000, 40_000, 60_000, 80_000]);
  });

  it("is logarithmic for what is far apart, and has every value on it, with some length", () => {
    const values = [80, 5_000, 100_000];
    const scale = scaleOf(values);
    expect(scale.kind).toBe("log");
    expect(scale.ticks).toEqual([10, 100, 1_000, 10_000, 100_000]);
    for (const value of values) expect(scale.at(value)).toBeGreaterThan(0);
    expect(scale.at(100_000)).toBe(1);
    expect(scale.at(1_000)).toBeCloseTo(0.5);
  });

  it("gives the least some length even if that is a power of ten", () => {
    expect(scaleOf([100, 10_000]).at(100)).toBeGreaterThan(0);
  });

  it("takes what is not on it to its ends", () => {
    const [linear, log] = [scaleOf([10]), scaleOf([1, 1_000])];
    expect([linear.at(-1), linear.at(99), log.at(0), log.at(1e9)]).toEqual([0, 1, 0, 1]);
  });

  it("is there also for nothing", () => {
    expect(scaleOf([]).at(0)).toBe(0);
    expect(scaleOf([Number.NaN]).ticks.every(Number.isFinite)).toBe(true);
  });
});

describe("a chart", () => {
  const bar = { label: "Holdfast", kind: "holdfast", remark: "2 x" } as const;
  const spread = { median: 10, least: 8, most: 11 };

  it("shows text as text, whatever is in it", () => {
    const svg = chartOf({
      title: `<script>"&"</script>`,
      axis: "a < b",
      bars: [{ ...bar, label: "<b>", remark: "R&D", spread }],
    });
    expect(svg).not.toMatch(/<script|<b>|R&D/u);
    expect(svg).toContain("&lt;script&gt;&quot;&amp;&quot;&lt;/script&gt;");
    expect(svg).toContain("R&amp;D");
  });

  it("loads nothing from elsewhere", () => {
    const svg = chartOf({ title: "t", axis: "a", bars: [{ ...bar, spread }] });
    expect(svg.replace("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|url\(|href|@import/u);
  });

  it("has a bar for each, as long as its value, and a line from the least to the most", () => {
    const svg = chartOf({
      title: "t",
      axis: "a",
      bars: [
        { ...bar, spread: { median: 10, least: 10, most: 10 } },
        { ...bar, spread: { median: 5, least: 5, most: 10 } },
      ],
    });
    const widths = [...svg.matchAll(/<rect class="holdfast"[^>]* width="([\d.]+)"/gu)].map(([, width]) =>
      Number(width),
    );
    expect(widths).toHaveLength(2);
    expect(widths[0]).toBeCloseTo(2 * (widths[1] ?? 0), 0);
    expect(svg).not.toContain("NaN");
  });

  it("is there also without bars", () => {
    expect(chartOf({ title: "t", axis: "a", bars: [] })).toContain("</svg>");
  });
});

it("numbers at an axis are short", () => {
  expect([0, 0.05, 3, 999, 1_500, 20_000, 2_500_000].map(short)).toEqual([
    "0",
    "0.05",
    "3",
    "999",
    "1.5K",
    "20K",
    "2.5M",
  ]);
});
