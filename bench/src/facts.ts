// Facts: what is counted or weighed rather than raced: commits, WAL, heap, resident size, and whether late steps cost more.

import { countAtPostgres, type Counted } from "./counts.ts";
import { heapPerEntity } from "./heap-per-entity.ts";
import { residentOfIdleRunner } from "./resident.ts";
import { measureSleepers } from "./sleepers.ts";
import { stepCosts } from "./steps.ts";
import { openStore } from "./stores.ts";

/** Null: it was not measured. */
export interface Facts {
  /** Transactions that wrote, and bytes of WAL, for each run of ten steps; alone, and among 256. */
  readonly commitsIdle: number | null;
  readonly commitsAtLoad: number | null;
  readonly walBytes: number | null;
  /** The same with results of 17 bytes, and what bare rows of both write: where the goals for WAL come from. */
  readonly smallWalBytes: number | null;
  readonly bareWalBytes: number | null;
  readonly smallBareWalBytes: number | null;
  /** Bytes of heap. */
  readonly heapPerEntity: number | null;
  readonly heapPerSleeper: number | null;
  /** The last one by what a bare timer takes, measured in the same way. */
  readonly sleeperByTimer: number | null;
  /** Bytes by which an idle runner's process is larger than a bare one. */
  readonly residentAboveNode: number | null;
  /** What of Holdfast that runner ran: its packages as built, or the sources. */
  readonly residentOf: string | null;
  /** The time of a step at position 10,000 by that of one at position 10, in turn. */
  readonly lateStep: number | null;
}

export const NO_FACTS: Facts = {
  commitsIdle: null,
  commitsAtLoad: null,
  walBytes: null,
  smallWalBytes: null,
  bareWalBytes: null,
  smallBareWalBytes: null,
  heapPerEntity: null,
  heapPerSleeper: null,
  sleeperByTimer: null,
  residentAboveNode: null,
  residentOf: null,
  lateStep: null,
};

export interface FactSizes {
  readonly requests: number;
  readonly entities: number;
  readonly sleepers: number;
  readonly stepRounds: number;
  readonly residentRuns: number;
}

const STEPS = 10;

/** Goes on after a failure: what it was to find stays null, and `failed` is told. */
export async function findFacts(
  sizes: FactSizes,
  { say, failed }: { say: (text: string) => void; failed: (what: string, error: unknown) => void },
): Promise<Facts> {
  let facts = NO_FACTS;
  const find = async (what: string, finding: () => Promise<Partial<Facts>>): Promise<void> => {
    say(what);
    try {
      facts = { ...facts, ...(await finding()) };
    } catch (error) {
      failed(what, error);
    }
  };
  await find("heap per entity", async () => ({ heapPerEntity: await heapPerEntity(sizes.entities) }));
  await find("resident size of an idle runner", () => residentOfIdleRunner(sizes.residentRuns));
  await find("commits and WAL", async () => countsOf(await countAtPostgres(sizes.requests)));
  await find("sleeping executions", () => sleepers(sizes.sleepers));
  await find("late steps", () => lateSteps(sizes.stepRounds));
  return facts;
}

/** Counted for each activity, ten of which are in a run, with what starts and ends it. */
function countsOf(counted: readonly Counted[]): Partial<Facts> {
  const perRun = (name: string, figure: "commits" | "walBytes"): number | null => {
    const found = counted.find((each) => each.name === name);
    return found === undefined ? null : found[figure] * STEPS;
  };
  const atLoad = "activity, ten in a workflow, 256 in flight";
  return {
    commitsIdle: perRun("activity, ten in a workflow, one by one", "commits"),
    commitsAtLoad: perRun(atLoad, "commits"),
    walBytes: perRun(atLoad, "walBytes"),
    smallWalBytes: perRun("activity of 17 bytes, ten in a workflow, 256 in flight", "walBytes"),
    bareWalBytes: perRun("bare rows of a step, in groups of 256", "walBytes"),
    smallBareWalBytes: perRun("bare rows of a step of 17 bytes, in groups of 256", "walBytes"),
  };
}

async function sleepers(count: number): Promise<Partial<Facts>> {
  const store = await openStore("postgres");
  try {
    const { heapEach, timerHeapEach } = await measureSleepers(store, {
      count,
      withinMs: 3_000,
      leadMs: null,
    });
    return { heapPerSleeper: heapEach, sleeperByTimer: heapEach / timerHeapEach };
  } finally {
    await store.close();
  }
}

async function lateSteps(rounds: number): Promise<Partial<Facts>> {
  const store = await openStore("postgres");
  try {
    const { inTurn } = await stepCosts(store, {
      positions: [10, 10_000],
      window: 100,
      rounds,
      isTimedInPassing: false,
    });
    const [first, last] = inTurn;
    return first === undefined || last === undefined ? {} : { lateStep: last.medianMs / first.medianMs };
  } finally {
    await store.close();
  }
}
