// Chart: bars of medians with whiskers from the least to the most round, as an SVG that needs nothing from elsewhere and is
// readable on light and on dark pages.

import type { Spread } from "./compare.ts";
import { scaleOf, type Scale } from "./scale.ts";

export interface Bar {
  readonly label: string;
  readonly kind: "limit" | "holdfast" | "peer";
  readonly spread: Spread;
  /** Beside the bar, as its ratio to the baseline. */
  readonly remark: string;
}

export interface Chart {
  readonly title: string;
  /** What the axis counts, and which way is better. */
  readonly axis: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 860;
const EDGE = 14;
const LABELS = 310;
const REMARKS = 170;
const PLOT = WIDTH - LABELS - REMARKS;
const TOP = 66;
const ROW = 34;
const BAR = 18;
const BOTTOM = 46;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .page { fill: #ffffff; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #57606a; font-size: 12px; }
  .grid { stroke: #d0d7de; }
  .limit { fill: #8c959f; } .holdfast { fill: #0969da; } .peer { fill: #bf8700; }
  .whisker { stroke: #24292f; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #8d96a0; } .grid { stroke: #30363d; }
    .limit { fill: #6e7681; } .holdfast { fill: #58a6ff; } .peer { fill: #d29922; }
    .whisker { stroke: #e6edf3; }
  }`;

export function chartOf({ title, axis, bars }: Chart): string {
  const scale = scaleOf(bars.flatMap(({ spread }) => [spread.least, spread.median, spread.most]));
  const height = TOP + bars.length * ROW + BOTTOM;
  const bottom = TOP + bars.length * ROW;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    // A page of its own: who opens the file by itself has no other behind the text.
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="${EDGE}" y="28">${escaped(title)}</text>`,
    `<text class="quiet" x="${EDGE}" y="48">${escaped(`${axis}${scale.kind === "log" ? "; logarithmic" : ""}. Bar: median of the rounds; line: least to most`)}</text>`,
    ...scale.ticks.map((tick) => mark(tick, scale, bottom)),
    ...bars.map((bar, index) => row(bar, scale, TOP + index * ROW)),
    "</svg>",
    "",
  ].join("\n");
}

function mark(tick: number, scale: Scale, bottom: number): string {
  const x = place(tick, scale);
  return (
    `<line class="grid" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}"/>` +
    `<text class="quiet" x="${x}" y="${bottom + 18}" text-anchor="middle">${short(tick)}</text>`
  );
}

function row({ label, kind, spread, remark }: Bar, scale: Scale, y: number): string {
  const middle = y + ROW / 2;
  const [least, end, most] = [spread.least, spread.median, spread.most].map((value) => place(value, scale));
  const cap = (x: number | undefined): string =>
    `<line class="whisker" x1="${x}" x2="${x}" y1="${middle - 4}" y2="${middle + 4}"/>`;
  return [
    `<text x="${LABELS - 10}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${kind}" x="${LABELS}" y="${middle - BAR / 2}" width="${rounded(Number(end) - LABELS)}" height="${BAR}"/>`,
    `<line class="whisker" x1="${least}" x2="${most}" y1="${middle}" y2="${middle}"/>${cap(least)}${cap(most)}`,
    `<text x="${LABELS + PLOT + 12}" y="${middle + 4}">${escaped(remark)}</text>`,
  ].join("");
}

function place(value: number, scale: Scale): number {
  return rounded(LABELS + scale.at(value) * PLOT);
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

/** 1,500 is 1.5K: a mark has little room. */
export function short(value: number): string {
  for (const [unit, name] of [
    [1e6, "M"],
    [1e3, "K"],
  ] as const) {
    if (value >= unit) return `${Number((value / unit).toPrecision(3))}${name}`;
  }
  return String(Number(value.toPrecision(3)));
}

export function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
