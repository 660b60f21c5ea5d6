// What executions that sleep cost the runner that owns them, and how late they wake when many are due.
//
// All are started on one runner, each to sleep until a time of its own, and leave memory. The runner's memory is measured
// before they start and when all are away. Then they fall due one after the other, evenly, and each notes in its next step
// how late that runs. Beside it, and before it: as many timers in this process, each with one raw write when it fires.

import { setTimeout as sleep } from "node:timers/promises";
import {
  activity,
  createCluster,
  defineWorkflow,
  type Cluster,
  type WorkflowImplementation,
} from "@holdfast/core";
import { settledMemory, type Memory } from "./heap.ts";
import { quantile, shown } from "./statistics.ts";
import type { Store } from "./stores.ts";

export interface SleeperOptions {
  readonly count: number;
  /** From the first one's due time to the last one's. */
  readonly withinMs: number;
  /** From the first start to the first due time: by then all have to be asleep. Null: estimated. */
  readonly leadMs: number | null;
}

/** How late the steps after the due times ran, in milliseconds. */
export interface Lateness {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly most: number;
  /** From the first due time to the last of these steps. */
  readonly totalMs: number;
}

export interface Sleepers {
  readonly count: number;
  readonly withinMs: number;
  readonly startedPerSecond: number;
  /** Microseconds of this process's processor time for each: from its start until it is asleep, and from there to its end. */
  readonly startCpuEach: number;
  readonly wakeCpuEach: number;
  /** Bytes of the heap for each, when all are asleep and away; and of all that the process keeps resident. */
  readonly heapEach: number;
  readonly residentEach: number;
  /** Bytes of the heap for a bare timer. */
  readonly timerHeapEach: number;
  readonly late: Lateness;
  /** How many executions were in memory at once while they woke, those included that had just ended. */
  readonly mostInMemory: number;
  readonly timersLate: Lateness;
  /** From the first due time until the last one has its result recorded. */
  readonly answeredMs: number;
}

interface Due {
  readonly index: number;
  readonly dueAt: number;
}

const Sleeper = defineWorkflow<Due, null>({
  name: "Sleeper",
  key: ({ index, dueAt }) => `${index}-${dueAt}`,
  hashKey: false,
});

const IN_FLIGHT = 256;
const WARM_UP = 2_000;
/** How long one that has left memory keeps its place there, which is no part of what a sleeper costs. */
const IDLE_MS = 1_000;
/** The estimate of how long all need to start is taken so many times. */
const MARGIN = 1.5;
/** What the last ones need to leave memory, and measuring. */
const REST_MS = 10_000;

/** Starts so many executions on a cluster of its own, and waits until all have ended. @throws {Error} the lead was too short */
export async function measureSleepers(store: Store, options: SleeperOptions): Promise<Sleepers> {
  const { count, withinMs } = options;
  const late = new Float64Array(count);
  const woken = { count: 0, lastAt: 0 };
  const cluster = await createCluster({
    storage: store.storage,
    runners: "memory:",
    register: [sleeperOf(late, woken)],
    shardRebalanceDebounce: 0,
    entityMaxIdleTime: IDLE_MS,
  });
  await cluster.start();
  try {
    const warm = Math.min(WARM_UP, count);
    const warmed = await startAll(cluster, warm, (index) => ({
      index,
      dueAt: Date.now() + 4 * IDLE_MS,
    }));
    await until(cluster, () => read(cluster, "succeeded") >= warm && read(cluster, "activeEntities") === 0);
    const timersLate = await bareTimers(store, Math.ceil(count / 10), withinMs / 10);
    const timerHeapEach = await heapOfTimers(count);

    const before = await settledMemory();
    const suspendedBefore = read(cluster, "suspended");
    woken.count = 0;
    const leadMs = options.leadMs ?? (count / warmed) * 1_000 * MARGIN + REST_MS;
    const firstDueAt = Date.now() + leadMs;
    console.warn(`${store.name}: ${count} start; the first is due in ${Math.round(leadMs / 1_000)} s`);
    const startCpu = process.cpuUsage();
    const startedPerSecond = await startAll(cluster, count, (index) => ({
      index,
      dueAt: Math.ceil(firstDueAt + (index * withinMs) / count),
    }));
    await until(
      cluster,
      () => read(cluster, "suspended") - suspendedBefore >= count && read(cluster, "activeEntities") === 0,
      () => Date.now() < firstDueAt,
    );
    const startCpuEach = microseconds(startCpu) / count;
    const asleep = await settledMemory();
    if (Date.now() >= firstDueAt || woken.count > 0)
      throw new Error(
        `They were not all asleep after ${leadMs / 1_000} s. Give a longer --lead, in seconds.`,
      );

    const wakeCpu = process.cpuUsage();
    let mostInMemory = 0;
    await until(cluster, () => {
      mostInMemory = Math.max(mostInMemory, read(cluster, "activeEntities"));
      return woken.count >= count;
    });
    const totalMs = woken.lastAt - firstDueAt;
    await until(cluster, () => read(cluster, "succeeded") >= warm + count);
    return {
      count,
      withinMs,
      startedPerSecond,
      startCpuEach,
      wakeCpuEach: microseconds(wakeCpu) / count,
      heapEach: (asleep.heap - before.heap) / count,
      residentEach: (asleep.resident - before.resident) / count,
      timerHeapEach,
      late: latenessOf(late, totalMs),
      mostInMemory,
      timersLate,
      answeredMs: Date.now() - firstDueAt,
    };
  } finally {
    await cluster.shutdown();
  }
}

function sleeperOf(late: Float64Array, woken: { count: number; lastAt: number }): WorkflowImplementation {
  return Sleeper.implement({
    activities: {
      wake: activity(async (_ctx, { index, dueAt }: Due): Promise<void> => {
        woken.lastAt = Date.now();
        woken.count += 1;
        late[index] = woken.lastAt - dueAt;
      }),
    },
    async execute(ctx, due) {
      await ctx.sleepUntil(new Date(due.dueAt));
      await ctx.activities.wake(due);
      return null;
    },
  });
}

/** Returns how many it started in a second. */
async function startAll(cluster: Cluster, count: number, inputOf: (index: number) => Due): Promise<number> {
  const workflow = cluster.workflow(Sleeper);
  const from = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next < count) await workflow.start(inputOf(next++));
    }),
  );
  return (count * 1_000) / (performance.now() - from);
}

/** Timers at the same rate, each of which writes one row and then notes how late it is. */
async function bareTimers(store: Store, count: number, withinMs: number): Promise<Lateness> {
  for (let time = 0; time < 200; time += 1) await store.baseline.run();
  const late = new Float64Array(count);
  const firstDueAt = Date.now() + 1_000;
  let lastAt = 0;
  const fired = async (index: number, dueAt: number): Promise<void> => {
    await sleep(dueAt - Date.now());
    await store.baseline.run();
    lastAt = Date.now();
    late[index] = lastAt - dueAt;
  };
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      fired(index, Math.ceil(firstDueAt + (index * withinMs) / count)),
    ),
  );
  return latenessOf(late, lastAt - firstDueAt);
}

async function heapOfTimers(count: number): Promise<number> {
  const timers: (NodeJS.Timeout | null)[] = Array.from({ length: count }, () => null);
  const { heap } = await settledMemory();
  for (let index = 0; index < count; index += 1)
    timers[index] = setTimeout(() => void timers.at(index), 3_600_000);
  const held: Memory = await settledMemory();
  for (const timer of timers) if (timer !== null) clearTimeout(timer);
  return (held.heap - heap) / count;
}

function microseconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function latenessOf(late: Float64Array, totalMs: number): Lateness {
  const at = (part: number): number => quantile(late, part);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), most: at(1), totalMs };
}

function read(cluster: Cluster, counter: string): number {
  return cluster.metrics.snapshot()[counter] ?? Number.NaN;
}

/** Waits until something is so, or while it may. @throws {Error} an execution failed, so that it may never be */
async function until(
  cluster: Cluster,
  isSo: () => boolean,
  mayWait: () => boolean = () => true,
): Promise<void> {
  while (!isSo() && mayWait()) {
    const failed = read(cluster, "failed");
    if (failed > 0) throw new Error(`${failed} executions failed`);
    await sleep(100);
  }
}

/** Prints the tables. */
export function reportSleepers(
  store: Store,
  {
    count,
    withinMs,
    startedPerSecond,
    heapEach,
    residentEach,
    timerHeapEach,
    late,
    timersLate,
    ...rest
  }: Sleepers,
): void {
  const many = count.toLocaleString("en");
  console.log(
    `\n${store.name}: ${many} executions sleep on one runner (started: ${Math.round(startedPerSecond)} per second)`,
  );
  console.table({
    "a sleeping execution": {
      "bytes of heap for each": shown(heapEach),
      "resident bytes for each": shown(residentEach),
    },
    "a bare timer": { "bytes of heap for each": shown(timerHeapEach) },
  });
  console.log(`All due within ${withinMs / 1_000} s: how late the step after runs`);
  console.table({
    "sleeping executions": lateRow(late, count),
    [`bare timers and ${store.baseline.name}`]: lateRow(timersLate, Math.ceil(count / 10)),
  });
  console.log(
    `The last result was recorded after ${shown(rest.answeredMs / 1_000)} s. In memory at once: ${rest.mostInMemory.toLocaleString("en")} at the most\n` +
      `This process's processor time for each: ${Math.round(rest.startCpuEach)} us until asleep, ${Math.round(rest.wakeCpuEach)} us from there on`,
  );
}

function lateRow({ p50, p95, p99, most, totalMs }: Lateness, count: number): Record<string, number> {
  return {
    "ms, p50": p50,
    p95,
    p99,
    most,
    "per second": Math.round((count * 1_000) / totalMs),
    "total, s": shown(totalMs / 1_000),
  };
}
