// Tool: measures all comparisons and facts in one run, judges them by the goals, and writes what came out to a folder.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chartOf, short, type Chart } from "./chart.ts";
import { compare, figureOf, ratioOf, type Compared } from "./compare.ts";
import { comparisonsNamed, COMPARISONS, type Comparison } from "./comparisons.ts";
import { ContestantProcess, type Asked } from "./contestant-process.ts";
import { findFacts, NO_FACTS, type FactSizes } from "./facts.ts";
import { GOALS, judge } from "./goals.ts";
import { load, thisMachine } from "./machine.ts";
import { installPeers, peerVersions } from "./peers.ts";
import { readProfile, topSelfTimes } from "./profile.ts";
import { labelOf, reportOf, type Results } from "./report.ts";
import { listed, type ContestantName } from "./roster.ts";
import { BenchServices } from "./services.ts";
import { shown } from "./statistics.ts";

export interface ToolOptions {
  /** Comparisons by id, or how it begins, and "facts"; empty is all. */
  readonly only: readonly string[];
  readonly rounds: number;
  readonly ms: number;
  readonly peers: readonly ContestantName[];
  readonly isQuick: boolean;
  readonly profiled: ContestantName | null;
  /** Made if it is not there. */
  readonly folder: string;
}

const FACTS = "facts";
const SIZES: FactSizes = {
  requests: 20_000,
  entities: 20_000,
  sleepers: 20_000,
  stepRounds: 2,
  residentRuns: 3,
};
const QUICK_SIZES: FactSizes = {
  requests: 4_000,
  entities: 5_000,
  sleepers: 3_000,
  stepRounds: 1,
  residentRuns: 1,
};
const TOP_LINES = 25;
/** Rates of what runs in Node still rise in the third second, by a third in all. */
const WARM_UP_MS = 4_000;
const QUICK_WARM_UP_MS = 500;

/** @throws {RangeError} `only` names what there is not */
export async function measureAll(options: ToolOptions): Promise<Results> {
  const { only, rounds, ms, isQuick, folder } = options;
  const comparisons =
    only.length === 0 ? COMPARISONS : comparisonsNamed(only.filter((name) => name !== FACTS));
  await mkdir(folder, { recursive: true });
  const missing: string[] = [];
  const services = new BenchServices();
  const before = load();
  try {
    const present = await presentPeers(options.peers, comparisons, missing);
    const compared: Compared[] = [];
    for (const comparison of comparisons) {
      const done = await compareAndDraw(comparison, present, options, services);
      compared.push(done);
      for (const { entry, failure } of done.entries)
        if (failure !== null) missing.push(`${entry.contestant}, ${entry.workload}: ${failure}`);
    }
    const isWeighed = only.length === 0 || only.includes(FACTS);
    const facts = isWeighed
      ? await findFacts(isQuick ? QUICK_SIZES : SIZES, {
          say,
          failed: (what, error) =>
            missing.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
        })
      : NO_FACTS;
    const results: Results = {
      at: new Date().toISOString(),
      machine: thisMachine(),
      load: [before, load()],
      services: {
        ...(await services.describe()),
        ...(present.length > 0 ? { peers: await peerVersions() } : {}),
      },
      rounds,
      ms,
      isQuick,
      compared,
      facts,
      // Of a part of the run, what it says something about.
      goals: GOALS.map((goal) => judge(goal, { compared, facts })).filter(
        ({ must, aim }) => only.length === 0 || [...must, ...aim].some(({ measured }) => measured !== null),
      ),
      missing,
    };
    await writeFile(join(folder, "results.json"), `${JSON.stringify(results, null, 2)}\n`);
    await writeFile(join(folder, "report.md"), reportOf(results));
    return results;
  } finally {
    await services.stop();
  }
}

/** Of the peers only those that are there take part. */
async function compareAndDraw(
  comparison: Comparison,
  present: readonly ContestantName[],
  { rounds, ms, isQuick, profiled, folder }: ToolOptions,
  services: BenchServices,
): Promise<Compared> {
  const { id, title, entries } = comparison;
  say(title);
  const profile = join(folder, `${profiled}-${id}.cpuprofile`);
  const done = await compare(
    {
      ...comparison,
      entries: entries.filter(
        ({ contestant }) => listed(contestant).kind !== "peer" || present.includes(contestant),
      ),
    },
    {
      rounds,
      ms,
      warmUpMs: isQuick ? QUICK_WARM_UP_MS : WARM_UP_MS,
      profile: profiled === null ? null : { contestant: profiled, file: profile },
      open: (name) => openContestant(name, services),
      say: (text) => console.warn(`  ${text}`),
    },
  );
  await writeFile(join(folder, `${id}.svg`), chartOf(chartFor(done)));
  if (done.entries.some(({ entry, failure }) => entry.contestant === profiled && failure === null))
    await printProfile(profile);
  return done;
}

/** Those of the peers that are asked for and can be had. */
async function presentPeers(
  peers: readonly ContestantName[],
  comparisons: readonly Comparison[],
  missing: string[],
): Promise<readonly ContestantName[]> {
  const needed = peers.filter((peer) =>
    comparisons.some(({ entries }) => entries.some(({ contestant }) => contestant === peer)),
  );
  if (needed.length === 0) return [];
  try {
    await installPeers(say);
    return needed;
  } catch (error) {
    missing.push(`${needed.join(", ")}: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
}

async function openContestant(name: ContestantName, services: BenchServices): Promise<Asked> {
  const { module, needs } = listed(name);
  const opened = await services.open(needs);
  try {
    const contestant = await ContestantProcess.open(module, opened.services);
    return {
      round: (...args) => contestant.round(...args),
      profile: (file) => contestant.profile(file),
      async close() {
        await contestant.close();
        // A server that is gone took the database along.
        await opened.close().catch(() => undefined);
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function chartFor({ comparison, entries }: Compared): Chart {
  const { title, units, figure } = comparison;
  const [baseline] = entries;
  return {
    title,
    axis: figure === "perSecond" ? `${units} per second, more is better` : "p50 in ms, less is better",
    bars: entries.flatMap((each) => {
      const spread = figureOf(each, figure);
      if (spread === null || baseline === undefined) return [];
      const { kind } = listed(each.entry.contestant);
      const ratio = each === baseline ? null : ratioOf(each, baseline, figure);
      const remark = [short(spread.median), ...(ratio === null ? [] : [`${shown(ratio.median)} x`])].join(
        ", ",
      );
      return [{ label: labelOf(each), kind, spread, remark }];
    }),
  };
}

async function printProfile(file: string): Promise<void> {
  console.log(`\n${file}: where the time went, what was called not counted in`);
  for (const { where, part, ms } of topSelfTimes(await readProfile(file), TOP_LINES))
    console.log(
      `${(part * 100).toFixed(1).padStart(6)} % ${Math.round(ms).toString().padStart(6)} ms  ${where}`,
    );
}

function say(text: string): void {
  console.warn(`${new Date().toTimeString().slice(0, 8)} ${text}`);
}
