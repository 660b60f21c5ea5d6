// Latency at half load: how long calls take that come at half of the rate at which a runner answers when it is asked as fast
// as it can.

import { openAskedRunner, type Asking } from "./asked-runner.ts";
import { openLoop } from "./open-loop.ts";
import { Sample } from "./sample.ts";
import { median, shown } from "./statistics.ts";
import { roundOf } from "./workload-round.ts";

export interface LatencyOptions {
  readonly rounds: number;
  /** How long calls begin in each round, closed and open. */
  readonly ms: number;
}

/** What calls at a fixed rate took. */
interface AtRate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  readonly faults: number;
  readonly failure: string | null;
}

export interface LatencyRound {
  /** In a closed loop. */
  readonly sustained: number;
  readonly half: AtRate;
  /** Calls that do nothing, at the same rate: what the timer and the loop that asks have in it. */
  readonly nothing: AtRate;
}

export interface Latency {
  readonly database: string;
  readonly asked: readonly {
    readonly asking: Asking;
    readonly inFlight: number;
    readonly rounds: readonly LatencyRound[];
  }[];
}

/** As many in flight as in the comparisons of the report. */
const ASKED: readonly { readonly asking: Asking; readonly inFlight: number }[] = [
  { asking: "persisted rpc", inFlight: 256 },
  { asking: "volatile rpc", inFlight: 64 },
  { asking: "workflow of 10 steps", inFlight: 50 },
];
const IDLE_MS = 2_000;

/** @throws {Error} there is no PostgreSQL */
export async function measureLatency({ rounds, ms }: LatencyOptions): Promise<Latency> {
  const runner = await openAskedRunner({ entityMaxIdleTime: IDLE_MS });
  try {
    const asked: Latency["asked"][number][] = [];
    for (const { asking, inFlight } of ASKED) {
      const call = runner.ask[asking];
      const sustain = async (): Promise<number> =>
        (await roundOf({ kind: "closed loop", call }, inFlight, ms)).perSecond;
      await sustain();
      const done: LatencyRound[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const sustained = await sustain();
        done.push({
          sustained,
          nothing: await atRate(() => Promise.resolve(), sustained / 2, ms),
          half: await atRate(call, sustained / 2, ms),
        });
      }
      asked.push({ asking, inFlight, rounds: done });
    }
    return { database: runner.name, asked };
  } finally {
    await runner.close();
  }
}

async function atRate(call: () => Promise<void>, perSecond: number, ms: number): Promise<AtRate> {
  const times = new Sample();
  const count = Math.max(1, Math.floor((perSecond * ms) / 1_000));
  const { failed, lost, failure } = await openLoop(call, { perSecond, count }, (_, took) => times.add(took));
  return {
    perSecond,
    p50Ms: times.quantile(0.5),
    p99Ms: times.quantile(0.99),
    mostMs: times.most,
    faults: failed + lost,
    failure,
  };
}

/** Prints the table. Returns how many calls failed or were lost. */
export function reportLatency({ database, asked }: Latency): number {
  console.log(`\n${database}: latency of calls at half load, ms from when each was due`);
  const table: Record<string, Record<string, number | string>> = {};
  for (const { asking, inFlight, rounds } of asked) {
    const row = (of: (round: LatencyRound) => AtRate): Record<string, number> => {
      const at = (figure: (at: AtRate) => number): number =>
        shown(median(rounds.map((round) => figure(of(round)))));
      return {
        "per second": Math.round(median(rounds.map((round) => of(round).perSecond))),
        p50: at(({ p50Ms }) => p50Ms),
        p99: at(({ p99Ms }) => p99Ms),
        most: shown(Math.max(...rounds.map((round) => of(round).mostMs))),
        "failed or lost": rounds.reduce((sum, round) => sum + of(round).faults, 0),
      };
    };
    table[asking] = {
      [`sustained`]: Math.round(median(rounds.map(({ sustained }) => sustained))),
      "by so many callers": inFlight,
      ...row(({ half }) => half),
    };
    table[`nothing, as often as ${asking}`] = row(({ nothing }) => nothing);
  }
  console.table(table);
  const faults = asked.flatMap(({ rounds }) => rounds.map(({ half }) => half));
  for (const { failure } of faults) if (failure !== null) console.warn(failure);
  return faults.reduce((sum, half) => sum + half.faults, 0);
}
