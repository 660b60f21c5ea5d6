// Soak: one runner at half load for a long time: whether it keeps what it has done in memory, slows down, or loses calls.
//
// Time goes by in windows. At the end of each the calls stop until all are answered and what was asked has left memory, and
// what is in use then is measured: nothing under way is in it, and collecting garbage is in no latency.

import { setTimeout as sleep } from "node:timers/promises";
import { openAskedRunner, type AskedRunner, type Asking } from "./asked-runner.ts";
import { flatnessOf, type Flatness } from "./flatness.ts";
import { settledMemory, type Memory } from "./heap.ts";
import { openLoop } from "./open-loop.ts";
import { Sample } from "./sample.ts";
import type { Slope } from "./slope.ts";
import { roundOf } from "./workload-round.ts";

export interface SoakOptions {
  readonly minutes: number;
  /** Told of each window when it is over. */
  readonly passed: (window: SoakWindow) => void;
}

/** Milliseconds from when calls were due. */
export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

export interface SoakWindow {
  readonly minutes: number;
  /** Of this window and those before it. */
  readonly operations: number;
  readonly memory: Memory;
  /** In memory still. */
  readonly entities: number;
  readonly latencies: Readonly<Record<Asking, Latencies>>;
  readonly failed: number;
  readonly lost: number;
  /** Answered, but after more than `LATE_MS`. */
  readonly late: number;
  readonly failure: string | null;
}

export interface Soak {
  readonly database: string;
  /** Operations of the mix: in a closed loop, and as they were asked for then. */
  readonly sustained: number;
  readonly perSecond: number;
  readonly windows: readonly SoakWindow[];
  readonly heap: Flatness;
  /** Bytes for each operation, from the same samples. Not judged: an allocator keeps what it had. */
  readonly resident: Slope;
  /** Of the runner, at the end. */
  readonly counters: Readonly<Record<string, number>>;
}

export const LATE_MS = 10_000;
/** Of ten operations. */
const MIX: readonly Asking[] = [
  "persisted rpc",
  "volatile rpc",
  "persisted rpc",
  "volatile rpc",
  "persisted rpc",
  "workflow of 10 steps",
  "persisted rpc",
  "volatile rpc",
  "persisted rpc",
  "volatile rpc",
];
const IN_FLIGHT = 256;
const WINDOW_MS = 15_000;
/** A short run has shorter windows, so that there are enough of them to judge by. */
const WINDOWS = 20;
/** How long what is asked no more stays in memory: short, so that as much leaves as comes. */
const IDLE_MS = 500;
const SUSTAIN_MS = 20_000;

/** @throws {RangeError} it is no time; {Error} there is no PostgreSQL */
export async function measureSoak({ minutes, passed }: SoakOptions): Promise<Soak> {
  if (!(minutes > 0)) throw new RangeError(`A soak takes some minutes, and got ${minutes}.`);
  const ms = minutes * 60_000;
  const windowMs = Math.min(WINDOW_MS, ms / WINDOWS);
  const runner = await openAskedRunner({ entityMaxIdleTime: IDLE_MS });
  try {
    const sustained = await sustain(runner, Math.min(SUSTAIN_MS, ms / 6));
    const perSecond = sustained / 2;
    const count = Math.max(1, Math.round((perSecond * windowMs) / 1_000));
    const windows: SoakWindow[] = [];
    for (const from = performance.now(); performance.now() - from < ms;) {
      const operations = (windows.at(-1)?.operations ?? 0) + count;
      const over = await pass(runner, { perSecond, count });
      const window = { ...over, minutes: (performance.now() - from) / 60_000, operations };
      windows.push(window);
      passed(window);
    }
    const samples = (of: (memory: Memory) => number) =>
      windows.map(({ operations, memory }) => ({ operations, bytes: of(memory) }));
    return {
      database: runner.name,
      sustained,
      perSecond,
      windows,
      heap: flatnessOf(samples(({ heap }) => heap)),
      resident: flatnessOf(samples(({ resident }) => resident)).each,
      counters: runner.counters(),
    };
  } finally {
    await runner.close();
  }
}

/** How many operations of the mix it does in a second, after half of the time. */
async function sustain(runner: AskedRunner, ms: number): Promise<number> {
  let asked = 0;
  const call = (): Promise<void> => runner.ask[kindOf((asked += 1))]();
  let perSecond = 0;
  for (let half = 0; half < 2; half += 1)
    ({ perSecond } = await roundOf({ kind: "closed loop", call }, IN_FLIGHT, ms / 2));
  return perSecond;
}

async function pass(
  runner: AskedRunner,
  arrivals: { readonly perSecond: number; readonly count: number },
): Promise<Omit<SoakWindow, "minutes" | "operations">> {
  const times = {
    "persisted rpc": new Sample(),
    "volatile rpc": new Sample(),
    "workflow of 10 steps": new Sample(),
  } satisfies Record<Asking, Sample>;
  let late = 0;
  const { failed, lost, failure } = await openLoop(
    (index) => runner.ask[kindOf(index)](),
    arrivals,
    (index, took) => {
      times[kindOf(index)].add(took);
      if (took > LATE_MS) late += 1;
    },
  );
  const latencies = {
    "persisted rpc": latenciesOf(times["persisted rpc"]),
    "volatile rpc": latenciesOf(times["volatile rpc"]),
    "workflow of 10 steps": latenciesOf(times["workflow of 10 steps"]),
  };
  await emptied(runner);
  const memory = await settledMemory();
  return {
    memory,
    entities: entitiesOf(runner),
    latencies,
    failed,
    lost,
    late,
    failure,
  };
}

/** Waits until no entity is in memory, for a while: those that stay are seen in the heap. */
async function emptied(runner: AskedRunner): Promise<void> {
  for (const until = performance.now() + 10 * IDLE_MS; performance.now() < until; await sleep(50))
    if (entitiesOf(runner) === 0) return;
}

function entitiesOf(runner: AskedRunner): number {
  return runner.counters()["activeEntities"] ?? Number.NaN;
}

function kindOf(index: number): Asking {
  return MIX[index % MIX.length] ?? "persisted rpc";
}

function latenciesOf(times: Sample): Latencies {
  return { p50Ms: times.quantile(0.5), p99Ms: times.quantile(0.99), mostMs: times.most };
}
