// Idle cluster: what three runner processes that have nothing to do cost, each of them, and the server that they share.

import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { openFleet, type Fleet } from "./fleet.ts";
import { serverProcessorMs } from "./server-processor.ts";
import { costBetween, readServer, startCountedServer, type ServerCost } from "./server-statistics.ts";
import { shown } from "./statistics.ts";

export interface IdleCluster {
  readonly ms: number;
  /** For each runner's process: percent of one core, and bytes. */
  readonly runners: readonly { readonly percent: number; readonly resident: number }[];
  /** Percent of one core. Null: it cannot be told here. */
  readonly serverPercent: number | null;
  /** For a second. */
  readonly server: ServerCost;
}

const RUNNERS = 3;
/** Until what starting left to do is done, and all that is done in intervals was done once. */
const REST_MS = 10_000;

/** @throws {Error} there is no program postgres here */
export async function measureIdleCluster(ms: number): Promise<IdleCluster> {
  const server = await startCountedServer();
  try {
    const fleet = await openFleet(RUNNERS, server.url);
    try {
      await sleep(REST_MS);
      return await measure(fleet, server.reader, ms);
    } finally {
      await fleet.close();
    }
  } finally {
    await server.stop();
  }
}

async function measure(fleet: Fleet, reader: pg.Client, forMs: number): Promise<IdleCluster> {
  const read = async () => ({
    runners: await fleet.figures(),
    processorMs: await serverProcessorMs(reader),
    server: await readServer(reader),
  });
  const from = await read();
  await sleep(forMs);
  const to = await read();
  const { ms, statements, commits, walBytes } = costBetween(from.server, to.server);
  return {
    ms,
    runners: to.runners.map(({ processorMs, resident }, index) => ({
      percent: ((processorMs - (from.runners[index]?.processorMs ?? Number.NaN)) * 100) / ms,
      resident,
    })),
    serverPercent:
      to.processorMs === null || from.processorMs === null
        ? null
        : ((to.processorMs - from.processorMs) * 100) / ms,
    server: {
      statements: (statements * 1_000) / ms,
      commits: (commits * 1_000) / ms,
      walBytes: (walBytes * 1_000) / ms,
    },
  };
}

/** Prints the tables. */
export function reportIdleCluster({ ms, runners, serverPercent, server }: IdleCluster): void {
  console.log(
    `\nAn idle cluster of ${runners.length} runners on PostgreSQL, over ${shown(ms / 1_000)} s: processor time`,
  );
  console.table({
    ...Object.fromEntries(
      runners.map(({ percent, resident }, index) => [
        `runner ${index + 1}`,
        { "% of a core": shown(percent), "resident, MB": Math.round(resident / 2 ** 20) },
      ]),
    ),
    PostgreSQL: { "% of a core": serverPercent === null ? "not known here" : shown(serverPercent) },
  });
  console.log("At the server, per second");
  console.table({
    "all of them": serverRow(server, 1),
    "each runner": serverRow(server, runners.length),
  });
}

function serverRow({ statements, commits, walBytes }: ServerCost, among: number): Record<string, number> {
  return {
    statements: shown(statements / among),
    "commits that wrote": shown(commits / among),
    "WAL bytes": Math.round(walBytes / among),
  };
}
