// Profile: where a process spends its time, as the inspector of V8 sees it: written to a file that Chrome's developer tools
// and editors open, and as the lines on which most of it is spent.

import { readFile, writeFile } from "node:fs/promises";
import { Session } from "node:inspector/promises";

/** The part of V8's format that is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples?: readonly number[];
  /** Microseconds from each sample to the one before. */
  readonly timeDeltas?: readonly number[];
}

export interface SelfTime {
  readonly where: string;
  /** Of all the time in which the process was not idle, 0 to 1. */
  readonly part: number;
  readonly ms: number;
}

/** Profiles this process from here until what it returns is called. */
export async function startProfile(file: string): Promise<() => Promise<void>> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.setSamplingInterval", { interval: 250 });
  await session.post("Profiler.start");
  return async () => {
    const { profile } = await session.post("Profiler.stop");
    session.disconnect();
    await writeFile(file, JSON.stringify(profile));
  };
}

export async function readProfile(file: string): Promise<CpuProfile> {
  return JSON.parse(await readFile(file, "utf8")) as CpuProfile;
}

/** The functions in which most time was spent, what they called not counted in. */
export function topSelfTimes(
  { nodes, samples = [], timeDeltas = [] }: CpuProfile,
  count: number,
): readonly SelfTime[] {
  const whereOf = new Map(nodes.map((node) => [node.id, describe(node.callFrame)]));
  const spent = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of samples.entries()) {
    const where = whereOf.get(id) ?? "(unknown)";
    // Neither waiting nor profiling is what a process is profiled for.
    if (where === "(idle)" || where.includes("node:inspector")) continue;
    const time = timeDeltas[index] ?? 0;
    busy += time;
    spent.set(where, (spent.get(where) ?? 0) + time);
  }
  return [...spent]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([where, time]) => ({ where, part: time / busy, ms: time / 1_000 }));
}

/** The path from the package's folder on: what comes before is the same for all. */
function describe({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (url === "") return name;
  const place = url.replace(/^.*\/(?=(?:node_modules|packages|bench)\/)/u, "");
  return `${name} ${place}:${lineNumber + 1}`;
}
