// Measures what Holdfast costs beside its limits and its peers, all in one run. See bench/README.md.

import { fileURLToPath } from "node:url";
import { readOptions } from "../../test/command-line.ts";
import { countAtPostgres, reportCounts } from "./counts.ts";
import { pgliteDatabase } from "./databases.ts";
import { durable } from "./durable.ts";
import { measureFirstReplies, reportFirstReplies } from "./first-reply.ts";
import { measureIdleCluster, reportIdleCluster } from "./idle-cluster.ts";
import { measureLatency, reportLatency } from "./latency.ts";
import { load, thisMachine } from "./machine.ts";
import { peersNamed } from "./peers.ts";
import { goalsTable } from "./report.ts";
import { reportResumptions, resumptions } from "./replays.ts";
import { names, type ContestantName } from "./roster.ts";
import { ROUND_MS, ROUNDS } from "./rounds.ts";
import { measureScaling, reportScaling } from "./scaling.ts";
import { measureSleepers, reportSleepers } from "./sleepers.ts";
import { reportSoak, SOAK_COLUMNS, soakLine } from "./soak-report.ts";
import { measureSoak } from "./soak.ts";
import { reportSteps, stepCosts } from "./steps.ts";
import { openStore, STORE_KINDS, type Store, type StoreKind } from "./stores.ts";
import { measureAll } from "./tool.ts";

const USAGE = "npm run bench -- [command] [options]: see bench/README.md";

const { values: given, positionals } = readOptions(USAGE, {
  allowPositionals: true,
  options: {
    storage: { type: "string" },
    positions: { type: "string", default: "10,1000,10000" },
    window: { type: "string", default: "100" },
    lengths: { type: "string", default: "100,1000,10000" },
    count: { type: "string" },
    within: { type: "string", default: "60" },
    lead: { type: "string" },
    minutes: { type: "string", default: "20" },
    only: { type: "string" },
    rounds: { type: "string" },
    ms: { type: "string" },
    peers: { type: "string" },
    quick: { type: "boolean", default: false },
    profile: { type: "string" },
    results: { type: "string" },
  },
});
const [command = "all"] = positionals;
const folder = given.results ?? fileURLToPath(new URL("../results", import.meta.url));

/** As long as two intervals in which leases are renewed. */
const IDLE_MS = 20_000;

const CLUSTER = {
  idle: async () => reportIdleCluster(await measureIdleCluster(IDLE_MS)),
  "first-reply": async () => reportFirstReplies(await measureFirstReplies(ROUNDS)),
  scaling: async () =>
    reportScaling(await measureScaling({ sizes: [1, 2, 3, 4], rounds: ROUNDS, ms: ROUND_MS })),
};

const { node, cores, processor } = thisMachine();
console.log(`Node ${node}, ${cores} x ${processor}, load ${load().toFixed(1)}`);
switch (command) {
  case "all":
    await all();
    break;
  case "counts":
    reportCounts(await countAtPostgres(20_000));
    break;
  case "steps":
    await onEach(STORE_KINDS, async (store) => {
      const rounds = ROUNDS;
      reportSteps(
        store,
        await stepCosts(store, {
          positions: numbers(given.positions),
          window: Number(given.window),
          rounds,
        }),
      );
      reportResumptions(store, await resumptions(store, { lengths: numbers(given.lengths), rounds }));
    });
    break;
  case "sleepers":
    await onEach(["pglite", "postgres"], async (store, kind) => {
      reportSleepers(
        store,
        await measureSleepers(store, {
          // So many take PGlite, whose statements are serial, about as long.
          count: Number(given.count ?? (kind === "pglite" ? 20_000 : 100_000)),
          withinMs: Number(given.within) * 1_000,
          leadMs: given.lead === undefined ? null : Number(given.lead) * 1_000,
        }),
      );
    });
    break;
  case "cluster":
    for (const part of partsOf(CLUSTER)) await CLUSTER[part]();
    break;
  case "latency":
    if (reportLatency(await measureLatency({ rounds: ROUNDS, ms: 4 * ROUND_MS })) > 0) process.exitCode = 1;
    break;
  case "soak": {
    console.log(SOAK_COLUMNS);
    const soaked = await measureSoak({
      minutes: Number(given.minutes),
      passed: (window) => console.log(soakLine(window)),
    });
    if (!reportSoak(soaked)) process.exitCode = 1;
    break;
  }
  case "pglite":
    await durable(await pgliteDatabase("memory"));
    await durable(await pgliteDatabase("folder"));
    break;
  default:
    console.error(
      `There is no "${command}" to measure. Leave it out, or give "counts", "steps", "sleepers", "cluster", "latency", "soak" or "pglite".`,
    );
    process.exitCode = 1;
}
process.exit();

async function all(): Promise<void> {
  const { quick: isQuick } = given;
  try {
    const { goals, missing } = await measureAll({
      only: given.only?.split(",") ?? [],
      rounds: whole("rounds", given.rounds, isQuick ? 3 : 5),
      ms: whole("ms", given.ms, isQuick ? 200 : 1_000),
      peers: peersNamed(given.peers),
      isQuick,
      profiled: given.profile === undefined ? null : contestantNamed(given.profile),
      folder,
    });
    console.log(`\n${goalsTable(goals)}`);
    for (const each of missing) console.warn(`Not measured: ${each}`);
    if (missing.length > 0) process.exitCode = 1;
    console.log(`\nThe report is ${folder}/report.md`);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

/** @throws {RangeError} it is not a whole number of 1 or more */
function whole(option: string, text: string | undefined, otherwise: number): number {
  const value = Number(text ?? otherwise);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`--${option} takes a whole number of 1 or more, and got "${text}".`);
  return value;
}

/** @throws {RangeError} there is no such contestant */
function contestantNamed(name: string): ContestantName {
  const found = names().find((each) => each === name);
  if (found === undefined)
    throw new RangeError(`There is no contestant "${name}". There are: ${names().join(", ")}.`);
  return found;
}

/** The parts of a command that are asked for: all are, where none is named. @throws {RangeError} there is no such part */
function partsOf<Part extends string>(parts: Readonly<Record<Part, unknown>>): readonly Part[] {
  const known = Object.keys(parts) as Part[];
  const asked = given.only?.split(",");
  const unknown = asked?.find((name) => !known.some((part) => part === name));
  if (unknown !== undefined)
    throw new RangeError(`There is no part "${unknown}". There are: ${known.join(", ")}.`);
  return known.filter((part) => asked?.includes(part) ?? true);
}

/** Measures on each storage that was asked for, one after the other. */
async function onEach(
  kinds: readonly StoreKind[],
  measure: (store: Store, kind: StoreKind) => Promise<void>,
): Promise<void> {
  const asked = given.storage?.split(",") ?? kinds;
  for (const kind of STORE_KINDS.filter((each) => asked.includes(each))) {
    let store: Store;
    try {
      store = await openStore(kind);
    } catch (error) {
      notMeasured(kind, error);
      continue;
    }
    try {
      await measure(store, kind);
    } finally {
      await store.close();
    }
  }
}

function notMeasured(kind: StoreKind, error: unknown): void {
  console.warn(`${kind} was not measured: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

function numbers(list: string): readonly number[] {
  return list
    .split(",")
    .map(Number)
    .toSorted((a, b) => a - b);
}
