// What it takes to bring an execution back into memory, by the length of its journal.
//
// Executions of each length run until they wait for a signal, and leave memory. In each round a new cluster on the same
// storage, which has none of them in memory, is sent the signal of one of each length, one after the other.

import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import {
  activity,
  createCluster,
  defineWorkflow,
  type Cluster,
  type WorkflowImplementation,
} from "@holdfast/core";
import { PAYLOAD } from "./definitions.ts";
import { median, shown, spread } from "./statistics.ts";
import type { Store } from "./stores.ts";

export interface ReplayOptions {
  /** How many steps the journals have, rising. */
  readonly lengths: readonly number[];
  readonly rounds: number;
}

/** What one resumption took, in milliseconds. */
export interface Resumption {
  /** From the signal that was sent to the result that came. */
  readonly total: number;
  /** Of that: the call of storage that reads the journal and the inbox. */
  readonly reading: number;
  /** Of that: from the code's first line to where it asks for the signal. */
  readonly replaying: number;
  /** Of the replay: its first tenth, and its last. */
  readonly firstTenth: number;
  readonly lastTenth: number;
  /** Beside it: a bare read of as many rows, or null. */
  readonly bareRead: number | null;
  /** Beside it: as many turns of the event loop. */
  readonly bareTurns: number;
}

export interface Resumptions {
  readonly steps: number;
  readonly rounds: readonly Resumption[];
}

const SHORT = 10;

const Returning = defineWorkflow<{ id: string; steps: number }, number>({
  name: "Returning",
  key: ({ id }) => id,
  hashKey: false,
  maxSteps: 10_000_000,
});

/** When a replay was where: the milliseconds of its first line, after each tenth, in order. */
type Marks = number[];

/** Has executions of each length come back, on clusters of their own. */
export async function resumptions(
  store: Store,
  { lengths, rounds }: ReplayOptions,
): Promise<readonly Resumptions[]> {
  const marks = new Map<string, Marks>();
  const returning = returningOf(marks);
  const reads: number[] = [];
  const storage = readTimed(store.storage, reads);
  const memberOf = async (): Promise<Cluster> => {
    const cluster = await createCluster({
      storage,
      runners: "memory:",
      register: [returning],
      shardRebalanceDebounce: 0,
    });
    await cluster.start();
    return cluster;
  };
  const run = Math.floor(Math.random() * 1e9);
  const idOf = (steps: number, round: number): string => `${run}-${steps}-${round}`;
  // One more of each, so that no round is the first to run any code.
  const all = [...new Set([SHORT, ...lengths])].flatMap((steps) =>
    Array.from({ length: rounds + 1 }, (_, round) => ({ id: idOf(steps, round), steps })),
  );
  const first = await memberOf();
  await Promise.all(all.map((input) => first.workflow(Returning).start(input)));
  for (let done = first.metrics.snapshot(); (done["suspended"] ?? 0) < all.length;) {
    if ((done["failed"] ?? 0) > 0) throw new Error(`${done["failed"]} executions failed`);
    await sleep(100);
    done = first.metrics.snapshot();
  }
  await first.shutdown();
  if (store.baseline.read !== null)
    for (let row = 0; row < (lengths.at(-1) ?? 0); row += 1) await store.baseline.run();

  const resumed = new Map<number, Resumption[]>(lengths.map((steps) => [steps, []]));
  for (let round = 0; round <= rounds; round += 1) {
    const cluster = await memberOf();
    try {
      // Opens what a new cluster's first call opens.
      await resume(cluster, store, { id: idOf(SHORT, round), steps: SHORT, marks, reads });
      for (let at = 0; at < lengths.length; at += 1) {
        const steps = lengths[(at + round) % lengths.length] ?? 0;
        const took = await resume(cluster, store, { id: idOf(steps, round), steps, marks, reads });
        if (round > 0) resumed.get(steps)?.push(took);
      }
    } finally {
      await cluster.shutdown();
    }
  }
  return lengths.map((steps) => ({ steps, rounds: resumed.get(steps) ?? [] }));
}

function returningOf(marks: Map<string, Marks>): WorkflowImplementation {
  return Returning.implement({
    activities: { step: activity(async (_ctx, text: string): Promise<string> => text) },
    async execute(ctx, { id, steps }) {
      const mine: Marks = [performance.now()];
      marks.set(id, mine);
      for (let step = 1; step <= steps; step += 1) {
        await ctx.activities.step(PAYLOAD);
        if (step % (steps / 10) === 0) mine.push(performance.now());
      }
      await ctx.signal("go");
      return steps;
    },
  });
}

async function resume(
  cluster: Cluster,
  store: Store,
  {
    id,
    steps,
    marks,
    reads,
  }: {
    readonly id: string;
    readonly steps: number;
    readonly marks: ReadonlyMap<string, Marks>;
    readonly reads: number[];
  },
): Promise<Resumption> {
  const bareRead = store.baseline.read === null ? null : await timeOf(() => store.baseline.read?.(steps));
  const bareTurns = await timeOf(async () => {
    for (let step = 0; step < steps; step += 1) await turn();
  });
  const handle = cluster.workflow(Returning).get(id);
  const result = handle.result();
  // Whoever asks for the result waits at the runner by then.
  await sleep(50);
  reads.length = 0;
  const from = performance.now();
  await handle.signal("go", null);
  await result;
  const total = performance.now() - from;
  const [began = Number.NaN, ...tenths] = marks.get(id) ?? [];
  const [firstTenth = Number.NaN] = tenths;
  return {
    total,
    reading: reads[0] ?? Number.NaN,
    replaying: (tenths.at(-1) ?? Number.NaN) - began,
    firstTenth: firstTenth - began,
    lastTenth: (tenths.at(-1) ?? Number.NaN) - (tenths.at(-2) ?? Number.NaN),
    bareRead,
    bareTurns,
  };
}

async function timeOf(run: () => unknown): Promise<number> {
  const from = performance.now();
  await run();
  return performance.now() - from;
}

/** The storage, which notes in `reads` how many milliseconds each read of an execution took. */
function readTimed(storage: Store["storage"], reads: number[]): Store["storage"] {
  if (typeof storage === "string") return storage;
  return {
    kind: "storage",
    async open(services) {
      const opened = await storage.open(services);
      const { workflows } = opened;
      const readExecution = workflows.readExecution.bind(workflows);
      workflows.readExecution = async (...of) => {
        const from = performance.now();
        const stored = await readExecution(...of);
        reads.push(performance.now() - from);
        return stored;
      };
      return opened;
    },
  };
}

/** Prints the tables. */
export function reportResumptions(store: Store, resumed: readonly Resumptions[]): void {
  console.log(`\n${store.name}: an execution comes back into memory on a new runner, from signal to result`);
  const figures = (of: (took: Resumption) => number, { rounds }: Resumptions): number =>
    shown(median(rounds.map(of)));
  console.table(
    Object.fromEntries(
      resumed.map((each) => [
        `${each.steps.toLocaleString("en")} steps`,
        {
          "ms, median": figures(({ total }) => total, each),
          "in the rounds": spread(each.rounds.map(({ total }) => total)),
          "reading it, ms": figures(({ reading }) => reading, each),
          ...(store.baseline.read === null
            ? {}
            : { "bare read, ms": figures(({ bareRead }) => bareRead ?? Number.NaN, each) }),
          "replaying it, ms": figures(({ replaying }) => replaying, each),
          "bare turns, ms": figures(({ bareTurns }) => bareTurns, each),
        },
      ]),
    ),
  );
  console.log("The same for each step, in microseconds");
  const perStep = (of: (took: Resumption) => number, each: Resumptions, steps = each.steps): number =>
    shown((median(each.rounds.map(of)) * 1_000) / steps);
  console.table(
    Object.fromEntries(
      resumed.map((each) => [
        `${each.steps.toLocaleString("en")} steps`,
        {
          "all of it": perStep(({ total }) => total, each),
          "reading it": perStep(({ reading }) => reading, each),
          "replaying it": perStep(({ replaying }) => replaying, each),
          "x bare turns": shown(median(each.rounds.map(({ replaying, bareTurns }) => replaying / bareTurns))),
          "the first tenth": perStep(({ firstTenth }) => firstTenth, each, each.steps / 10),
          "the last tenth": perStep(({ lastTenth }) => lastTenth, each, each.steps / 10),
        },
      ]),
    ),
  );
}
