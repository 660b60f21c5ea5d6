// Report: what a run measured, as Markdown.

import { short } from "./chart.ts";
import { figureOf, ratioOf, type Compared, type ComparedEntry, type Spread } from "./compare.ts";
import type { Facts } from "./facts.ts";
import type { Judged, JudgedBar } from "./goals.ts";
import type { Machine } from "./machine.ts";
import { listed } from "./roster.ts";
import { shown } from "./statistics.ts";

/** One run, as results.json has it. */
export interface Results {
  readonly at: string;
  readonly machine: Machine;
  /** Before, and after. */
  readonly load: readonly [number, number];
  readonly services: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly ms: number;
  readonly isQuick: boolean;
  readonly compared: readonly Compared[];
  readonly facts: Facts;
  readonly goals: readonly Judged[];
  /** What was not measured, and why. */
  readonly missing: readonly string[];
}

export function reportOf(results: Results): string {
  const { compared, goals, missing } = results;
  return [
    "# Holdfast beside its limits and its peers",
    head(results),
    "## Goals",
    goalsTable(goals),
    ...compared.map(comparisonPart),
    ...(Object.values(results.facts).every((fact) => fact === null)
      ? []
      : ["## Counted and weighed", factsTable(results.facts)]),
    ...(missing.length === 0 ? [] : ["## Not measured", missing.map((each) => `- ${each}`).join("\n")]),
    "",
  ].join("\n\n");
}

function head({ at, machine, load, services, rounds, ms, isQuick }: Results): string {
  const { processor, cores, memoryGiB, system, node, commit } = machine;
  return [
    `- ${at}, ${rounds} rounds of ${ms} ms${isQuick ? "; a quick run: take no figure from it" : ""}`,
    `- ${cores} x ${processor}, ${memoryGiB} GiB, ${system}, Node ${node}; load ${load[0].toFixed(1)} before, ${load[1].toFixed(1)} after`,
    ...(commit === null ? [] : [`- Holdfast at ${commit}`]),
    ...Object.entries(services).map(([name, value]) => `- ${name}: ${value}`),
    "- Contestants, servers and whatever else runs here share the processors. Compare ratios within this run.",
  ].join("\n");
}

export function goalsTable(goals: readonly Judged[]): string {
  return table(
    ["goal", "measured", "must", "aim", "met"],
    goals.map(({ title, must, aim, verdict }) => [
      title,
      unique([...must, ...aim].map(measuredOf)),
      must.map(limitOf).join("; "),
      aim.map(limitOf).join("; "),
      { aim: "aim", must: "must", missed: "**no**", "not measured": "not measured" }[verdict],
    ]),
  );
}

function measuredOf({ measured, unit }: JudgedBar): string {
  return measured === null ? "" : `${shown(measured)} ${unit}`;
}

function limitOf({ better, limit, unit }: JudgedBar): string {
  return `${better === "more" ? "at least" : "at most"} ${limit} ${unit}`;
}

function unique(texts: readonly string[]): string {
  return [...new Set(texts.filter((text) => text !== ""))].join("; ");
}

function comparisonPart({ comparison, entries }: Compared): string {
  const { id, title, note, figure, units } = comparison;
  const [baseline] = entries;
  const rows = entries.map((each) => [
    labelOf(each),
    spreadText(figureOf(each, "perSecond"), short),
    spreadText(figureOf(each, "p50Ms"), (ms) => String(shown(ms))),
    spreadText(figureOf(each, "p99Ms"), (ms) => String(shown(ms)), false),
    spreadText(figureOf(each, "cpuUs"), (us) => String(shown(us)), false),
    spreadText(figureOf(each, "resident"), (bytes) => String(Math.round(bytes / 2 ** 20)), false),
    baseline === undefined ? "" : ratioText(ratioOf(each, baseline, figure)),
    each.failure === null ? "" : "not measured to the end",
  ]);
  const hasFailures = entries.some(({ failure }) => failure !== null);
  const columns = [
    "",
    `${units} per second`,
    "p50 ms",
    "p99 ms",
    "client CPU us",
    "client MB",
    `ratio of ${figure === "perSecond" ? "rates" : "p50"}`,
    "",
  ];
  return [
    `## ${title}`,
    ...(note === undefined ? [] : [note]),
    table(
      hasFailures ? columns : columns.slice(0, -1),
      hasFailures ? rows : rows.map((row) => row.slice(0, -1)),
    ),
    `![${title}](${id}.svg)`,
  ].join("\n\n");
}

/** Who it is, and what it did if that is not what the title says. */
export function labelOf({ entry }: Pick<ComparedEntry, "entry">): string {
  const { title, kind } = listed(entry.contestant);
  if (kind !== "limit") return title;
  const how = entry.inFlight === "alone" ? "idle" : `${entry.inFlight} in flight`;
  return `${title}: ${entry.workload}, ${how}`;
}

function ratioText(ratio: Spread | null): string {
  return spreadText(ratio, (value) => `${shown(value)} x`);
}

function spreadText(spread: Spread | null, write: (value: number) => string, withEnds = true): string {
  if (spread === null) return "";
  const ends = `${write(spread.least)} to ${write(spread.most)}`;
  return withEnds && spread.least !== spread.most
    ? `${write(spread.median)} (${ends})`
    : write(spread.median);
}

function factsTable(facts: Facts): string {
  const rows: readonly (readonly [string, number | null, string])[] = [
    ["durable commits per run of ten steps, idle", facts.commitsIdle, ""],
    ["durable commits per run of ten steps, 256 in flight", facts.commitsAtLoad, ""],
    ["WAL per run of ten steps of 200 bytes, 256 in flight", facts.walBytes, "bytes"],
    ["its twelve rows in one narrow table, in groups of 256", facts.bareWalBytes, "bytes"],
    ["WAL per run of ten steps of 17 bytes, 256 in flight", facts.smallWalBytes, "bytes"],
    ["its twelve rows in one narrow table, in groups of 256", facts.smallBareWalBytes, "bytes"],
    ["heap per idle resident entity", facts.heapPerEntity, "bytes"],
    ["heap per sleeping execution", facts.heapPerSleeper, "bytes"],
    [
      `resident size of an idle runner above bare Node, ${facts.residentOf ?? ""}`,
      facts.residentAboveNode,
      "bytes",
    ],
    ["a step at position 10,000 by one at position 10", facts.lateStep, "x"],
  ];
  return table(
    ["", "measured"],
    rows.map(([name, value, unit]) => [name, value === null ? "not measured" : `${shown(value)} ${unit}`]),
  );
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return [columns, columns.map(() => "---"), ...rows].map(line).join("\n");
}

function line(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
