// Scaling: what one to four runner processes do together on one server, and what each unit costs them and it.

import { cpus } from "node:os";
import type pg from "pg";
import { openFleet, type Fleet } from "./fleet.ts";
import { serverProcessorMs } from "./server-processor.ts";
import { startCountedServer } from "./server-statistics.ts";
import { withDatabase } from "./services.ts";
import { median, shown, spread } from "./statistics.ts";
import { turnsOf } from "./turns.ts";

export interface ScalingOptions {
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly ms: number;
}

/** One round of so many runners. Processor time is in microseconds for each unit. */
export interface ScaledRound {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all runners' processes together, which are the callers', too. */
  readonly runnersUs: number;
  /** Null: it cannot be told here. */
  readonly serverUs: number | null;
  /** How many of the machine's cores were busy, with anything. */
  readonly busyCores: number;
}

interface Load {
  readonly workload: string;
  readonly inFlight: number;
  /** Whether it is what each runner's callers have in flight, or all of them together. */
  readonly isForEach: boolean;
}

export interface Scaled {
  readonly load: Load;
  /** In the order of the sizes. */
  readonly fleets: readonly { readonly size: number; readonly rounds: readonly ScaledRound[] }[];
}

/** Of all cores: where more are busy, there is no more to be had. */
const LIMIT = 0.9;
/**
 * As many in all however many runners there are, so that each has a part of the load: then each gathers fewer writes for one
 * trip. And as many for each of them, so that groups are as large. The first are multiples of what one to four share.
 */
const LOADS: readonly Load[] = [
  { workload: "persisted rpc", inFlight: 240, isForEach: false },
  { workload: "persisted rpc", inFlight: 240, isForEach: true },
  { workload: "workflow of 10 steps", inFlight: 48, isForEach: false },
  { workload: "workflow of 10 steps", inFlight: 48, isForEach: true },
];
/** Processes that share cores take that many times longer until their code is compiled. */
const WARM_UPS = 3;

/** Fleets of all sizes are open, each on a database of its own, and take turns. @throws {Error} there is no program postgres here */
export async function measureScaling({ sizes, rounds, ms }: ScalingOptions): Promise<readonly Scaled[]> {
  const server = await startCountedServer();
  const fleets: { readonly size: number; readonly fleet: Fleet }[] = [];
  try {
    for (const size of sizes) {
      await server.reader.query(`CREATE DATABASE fleet_${size}`);
      fleets.push({ size, fleet: await openFleet(size, withDatabase(server.url, `fleet_${size}`)) });
    }
    const measured: Scaled[] = [];
    for (const load of LOADS) {
      const rounded: ScaledRound[][] = fleets.map(() => []);
      for (const { fleet } of fleets) await roundOf(fleet, server.reader, load, ms * WARM_UPS);
      for (let round = 0; round < rounds; round += 1)
        for (const turn of turnsOf(fleets.length, round)) {
          const fleet = fleets[turn]?.fleet;
          if (fleet !== undefined) rounded[turn]?.push(await roundOf(fleet, server.reader, load, ms));
        }
      measured.push({
        load,
        fleets: fleets.map(({ size }, index) => ({ size, rounds: rounded[index] ?? [] })),
      });
    }
    return measured;
  } finally {
    await Promise.all(fleets.map(({ fleet }) => fleet.close()));
    await server.stop();
  }
}

async function roundOf(
  { runners }: Fleet,
  reader: pg.Client,
  { workload, inFlight, isForEach }: Load,
  ms: number,
): Promise<ScaledRound> {
  const [server, busy] = [await serverProcessorMs(reader), busyMs()];
  const from = performance.now();
  const callers = isForEach ? inFlight : Math.floor(inFlight / runners.length);
  const rounds = await Promise.all(runners.map((runner) => runner.round(workload, callers, ms)));
  const [took, busyAfter] = [performance.now() - from, busyMs()];
  const serverAfter = await serverProcessorMs(reader);
  const perSecond = sum(rounds.map((round) => round.perSecond));
  const units = (perSecond * took) / 1_000;
  return {
    perSecond,
    // Of runners that did nearly as much as each other.
    p50Ms: median(rounds.map(({ p50Ms }) => p50Ms ?? Number.NaN)),
    p99Ms: Math.max(...rounds.map(({ p99Ms }) => p99Ms ?? Number.NaN)),
    runnersUs: sum(rounds.map((round) => (round.cpuUs ?? Number.NaN) * round.perSecond)) / perSecond,
    serverUs: server === null || serverAfter === null ? null : ((serverAfter - server) * 1_000) / units,
    busyCores: (busyAfter - busy) / took,
  };
}

/** Of all cores, since the machine started. */
function busyMs(): number {
  return sum(cpus().map(({ times }) => times.user + times.nice + times.sys + times.irq));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Prints the tables, and what was at its limit. */
export function reportScaling(measured: readonly Scaled[]): void {
  const cores = cpus().length;
  for (const { load, fleets } of measured) {
    const { workload, inFlight, isForEach } = load;
    const first = fleets[0]?.rounds ?? [];
    console.log(
      `\n${workload}, ${inFlight} in flight ${isForEach ? "for each runner" : "in all"}, by runner processes on one PostgreSQL`,
    );
    console.table(
      Object.fromEntries(
        fleets.map(({ size, rounds }) => {
          const at = (figure: (round: ScaledRound) => number | null): number | null => {
            const values = rounds.map(figure);
            return values.every((value) => value !== null) ? shown(median(values)) : null;
          };
          const ratios = rounds.map(
            ({ perSecond }, round) => perSecond / (first[round]?.perSecond ?? Number.NaN),
          );
          return [
            `${size} ${size === 1 ? "runner" : "runners"}`,
            {
              "per second": Math.round(median(rounds.map(({ perSecond }) => perSecond))),
              "x 1 runner": shown(median(ratios)),
              "in the rounds": spread(ratios),
              "ms, p50": at(({ p50Ms }) => p50Ms),
              "highest p99": at(({ p99Ms }) => p99Ms),
              "us of runners, each": at(({ runnersUs }) => runnersUs),
              "us of the server, each": at(({ serverUs }) => serverUs),
              "busy cores": at(({ busyCores }) => busyCores),
            },
          ];
        }),
      ),
    );
    const busy = median(fleets.at(-1)?.rounds.map(({ busyCores }) => busyCores) ?? []);
    console.log(
      `With the most runners ${shown(busy)} of the machine's ${cores} cores are busy: ${
        busy > LIMIT * cores
          ? "they are the limit, and what more runners cost is seen, not what they would add"
          : "they are not the limit: the disk may be, or waiting for each other with so many calls in flight"
      }.`,
    );
  }
}
