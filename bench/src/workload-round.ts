// One round of one workload, in the process of its contestant: how many units a second, how long each call took, and what
// the process spent on it.

import { setTimeout as sleep } from "node:timers/promises";
import type { Workload } from "./contestant.ts";
import { Sample } from "./sample.ts";
import { quantile } from "./statistics.ts";

/** So many callers, each of which waits for its answer; or one with pauses, on a system that else does nothing. */
export type InFlight = number | "alone";

/** What one round came to. Null: it cannot be told. */
export interface Round {
  readonly perSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Processor time of the contestant's process for each unit, in microseconds. */
  readonly cpuUs: number | null;
  /** Of that process, in bytes, after the round. */
  readonly resident: number;
}

/** Longer than any timer that gathers work, so that each call finds the system idle. */
const PAUSE_MS = 20;

/** @param ms how long calls begin; those under way are waited for */
export async function roundOf(workload: Workload, inFlight: InFlight, ms: number): Promise<Round> {
  if (workload.kind === "batch") return batch(() => workload.run());
  if (workload.kind === "alone") return alone(() => workload.call(), ms, 1);
  const { unitsPerCall = 1 } = workload;
  return inFlight === "alone"
    ? alone(async () => void (await workload.call(0)), ms, unitsPerCall)
    : closedLoop((caller) => workload.call(caller), { callers: inFlight, ms, unitsPerCall });
}

async function closedLoop(
  call: (caller: number) => Promise<unknown>,
  { callers, ms, unitsPerCall }: { callers: number; ms: number; unitsPerCall: number },
): Promise<Round> {
  const times = new Sample();
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const end = begin + ms;
  let calls = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let from = performance.now(); from < end;) {
        await call(caller);
        const now = performance.now();
        times.add(now - from);
        calls += 1;
        from = now;
      }
    }),
  );
  const units = calls * unitsPerCall;
  return {
    perSecond: (units * 1_000) / (performance.now() - begin),
    p50Ms: times.quantile(0.5),
    p99Ms: times.quantile(0.99),
    cpuUs: microseconds(cpu) / units,
    resident: process.memoryUsage.rss(),
  };
}

/** Its rate is that of calls without the pauses. Processor time has the pauses in it, as what runs in them is part of the cost. */
async function alone(call: () => Promise<number | void>, ms: number, unitsPerCall: number): Promise<Round> {
  const times: number[] = [];
  const cpu = process.cpuUsage();
  const end = performance.now() + ms;
  do {
    await sleep(PAUSE_MS);
    const from = performance.now();
    const told = await call();
    times.push(told ?? performance.now() - from);
  } while (performance.now() < end);
  const p50Ms = quantile(times, 0.5);
  return {
    perSecond: (unitsPerCall * 1_000) / p50Ms,
    p50Ms,
    p99Ms: quantile(times, 0.99),
    cpuUs: microseconds(cpu) / (times.length * unitsPerCall),
    resident: process.memoryUsage.rss(),
  };
}

async function batch(run: () => Promise<{ units: number; ms: number }>): Promise<Round> {
  const { units, ms } = await run();
  // What it prepared took processor time, too, and cannot be told apart.
  const resident = process.memoryUsage.rss();
  return { perSecond: (units * 1_000) / ms, p50Ms: null, p99Ms: null, cpuUs: null, resident };
}

function microseconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}
