// Whether a step's cost grows with its position in its execution.
//
// In each round one execution runs alone to its last position, timed as it passes each; then it, and others that stand at
// the other positions, take ten steps each in turn, and so does the baseline: what happens beside hits all of them alike.

import { activity, createCluster, defineWorkflow, type Cluster } from "@holdfast/core";
import { PAYLOAD } from "./definitions.ts";
import { Pace } from "./pace.ts";
import { median, quantile, shown, spread } from "./statistics.ts";
import type { Store } from "./stores.ts";

export interface StepOptions {
  /** Rising, further from each other than a window is wide. The first is what the others are compared with. */
  readonly positions: readonly number[];
  /** How many steps are timed at each position, and in each round. */
  readonly window: number;
  readonly rounds: number;
  /** Whether one execution is timed as it passes the positions, too, which takes about as long as the rest. Default true. */
  readonly isTimedInPassing?: boolean;
}

/** What a step took in one place. */
export interface StepCost {
  readonly name: string;
  readonly medianMs: number;
  readonly p95Ms: number;
  /** Of each round: its median by that of the first position in the same round. */
  readonly ratios: readonly number[];
}

export interface StepCosts {
  readonly baseline: StepCost;
  /** Of executions that stand at the positions, in turn. */
  readonly inTurn: readonly StepCost[];
  /** Of one execution, as it passes the positions. */
  readonly inPassing: readonly StepCost[];
}

const LONGEST_WARM_UP = 2_000;
/** So many steps one takes before it is the next one's turn. */
const TURN = 10;

const Paced = defineWorkflow<{ id: string; steps: number }, number>({
  name: "Paced",
  key: ({ id }) => id,
  maxSteps: 10_000_000,
});

/** Times steps of executions on a cluster of its own. @throws {RangeError} windows overlap */
export async function stepCosts(store: Store, options: StepOptions): Promise<StepCosts> {
  const { positions, window } = options;
  if (positions.some((position, index) => position < (positions[index - 1] ?? -window) + window))
    throw new RangeError(
      `The positions ${positions.join(", ")} are too near to each other for ${window} steps each.`,
    );
  const paces = new Map<string, Pace>();
  const paced = Paced.implement({
    activities: { step: activity(async (_ctx, text: string): Promise<string> => text) },
    async execute(ctx, { id, steps }) {
      const pace = paces.get(id);
      for (let step = 0; step < steps; step += 1) await pace?.step(() => ctx.activities.step(PAYLOAD));
      return steps;
    },
  });
  const cluster = await createCluster({
    storage: store.storage,
    runners: "memory:",
    register: [paced],
    shardRebalanceDebounce: 0,
  });
  await cluster.start();
  try {
    const executions = new Executions(cluster, paces);
    const warmUp = Math.min(LONGEST_WARM_UP, positions.at(-1) ?? 0);
    const warm = await executions.start(warmUp);
    await warm.pace.advance(warmUp);
    await warm.ended;
    for (let time = 0; time < warmUp / 10; time += 1) await store.baseline.run();
    const rounds: Round[] = [];
    for (let round = 0; round < options.rounds; round += 1)
      rounds.push(await roundOf(store, executions, options, round));
    return costsOf(store, options, rounds);
  } finally {
    await cluster.shutdown();
  }
}

class Executions {
  readonly #cluster: Cluster;
  readonly #paces: Map<string, Pace>;

  constructor(cluster: Cluster, paces: Map<string, Pace>) {
    this.#cluster = cluster;
    this.#paces = paces;
  }

  async start(steps: number): Promise<{ readonly pace: Pace; readonly ended: Promise<number> }> {
    const id = `paced-${this.#paces.size}`;
    const pace = new Pace();
    this.#paces.set(id, pace);
    const handle = await this.#cluster.workflow(Paced).start({ id, steps });
    return { pace, ended: handle.result() };
  }
}

/** Milliseconds of each step, by position. */
interface Round {
  readonly baseline: readonly number[];
  readonly inTurn: readonly (readonly number[])[];
  readonly inPassing: readonly (readonly number[])[];
}

async function roundOf(
  store: Store,
  executions: Executions,
  { positions, window, isTimedInPassing = true }: StepOptions,
  round: number,
): Promise<Round> {
  const standing = await Promise.all(positions.map((position) => executions.start(position + window)));
  const inPassing = isTimedInPassing ? await timesInPassing(executions, positions, window) : [];
  await Promise.all(standing.map(({ pace }, index) => pace.advance(positions[index] ?? 0)));
  const takers = [
    (count: number) => timesOf(count, () => store.baseline.run()),
    ...standing.map(
      ({ pace }) =>
        (count: number) =>
          pace.advance(count),
    ),
  ];
  const taken: number[][] = takers.map(() => []);
  for (let done = 0, turn = round; done < window; done += TURN, turn += 1) {
    for (let at = 0; at < takers.length; at += 1) {
      const taker = (at + turn) % takers.length;
      taken[taker]?.push(...((await takers[taker]?.(Math.min(TURN, window - done))) ?? []));
    }
  }
  await Promise.all(standing.map(({ ended }) => ended));
  const [baseline = [], ...inTurn] = taken;
  return { baseline, inTurn, inPassing };
}

async function timesInPassing(
  executions: Executions,
  positions: readonly number[],
  window: number,
): Promise<readonly (readonly number[])[]> {
  const { pace, ended } = await executions.start((positions.at(-1) ?? 0) + window);
  const times: (readonly number[])[] = [];
  let passed = 0;
  for (const position of positions) {
    if (position > passed) await pace.advance(position - passed);
    times.push(await pace.advance(window));
    passed = position + window;
  }
  await ended;
  return times;
}

async function timesOf(count: number, run: () => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = [];
  for (let time = 0; time < count; time += 1) {
    const from = performance.now();
    await run();
    times.push(performance.now() - from);
  }
  return times;
}

function costsOf(store: Store, { positions }: StepOptions, rounds: readonly Round[]): StepCosts {
  const cost = (
    name: string,
    timesIn: (round: Round) => readonly number[] | undefined,
    firstIn: (round: Round) => readonly number[] | undefined,
  ): StepCost => {
    const all = rounds.flatMap((round) => timesIn(round) ?? []);
    return {
      name,
      medianMs: median(all),
      p95Ms: quantile(all, 0.95),
      ratios: rounds.map((round) => median(timesIn(round) ?? []) / median(firstIn(round) ?? [])),
    };
  };
  const kinds = (of: "inTurn" | "inPassing"): readonly StepCost[] =>
    positions.map((position, index) =>
      cost(
        `step ${position.toLocaleString("en")}`,
        (round) => round[of][index],
        (round) => round[of][0],
      ),
    );
  return {
    baseline: cost(
      store.baseline.name,
      ({ baseline }) => baseline,
      ({ inTurn }) => inTurn[0],
    ),
    inTurn: kinds("inTurn"),
    inPassing: kinds("inPassing"),
  };
}

/** Prints the table. */
export function reportSteps(store: Store, { baseline, inTurn, inPassing }: StepCosts): void {
  const [first = baseline] = inTurn;
  console.log(`\n${store.name}: the time of one step of an execution (baseline: ${baseline.name})`);
  const row = ({ medianMs, p95Ms, ratios }: StepCost): Record<string, string | number> => ({
    "ms, median": shown(medianMs),
    "ms, p95": shown(p95Ms),
    "x baseline": shown(medianMs / baseline.medianMs),
    [`x ${first.name}`]: shown(median(ratios)),
    "in the rounds": spread(ratios),
  });
  console.table(
    Object.fromEntries([
      [baseline.name, row(baseline)],
      ...inTurn.map((cost) => [cost.name, row(cost)]),
      ...inPassing.map((cost) => [`${cost.name}, in passing`, row(cost)]),
    ]),
  );
}
