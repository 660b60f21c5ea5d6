// Counts what PostgreSQL itself saw: statements, commits of transactions that wrote, and bytes of WAL for each request and each activity.
//
// On a server of its own, which keeps statistics of statements; everything else that asks it anything is counted too, so
// an idle runner is counted first, and its share is taken off.

import { createCluster, defineWorkflow, activity } from "@holdfast/core";
import { postgres, postgresTx } from "@holdfast/storage-postgres";
import type pg from "pg";
import { bareRuns } from "./bare-runs.ts";
import { Echo, echo, PAYLOAD, Steps, steps } from "./definitions.ts";
import { costBetween, readServer, startCountedServer, type ServerCost } from "./server-statistics.ts";
import { setTimeout as sleep } from "node:timers/promises";

/** What the server did for one of something. */
export interface Counted extends ServerCost {
  readonly name: string;
}

const IDLE_MS = 3_000;
const ONE_BY_ONE = 100;
/** 17 bytes of JSON. */
const SMALL = "x".repeat(15);

const SqlSteps = defineWorkflow<{ id: string; steps: number }, number>({
  name: "SqlSteps",
  key: ({ id }) => id,
});
const sqlSteps = SqlSteps.implement({
  activities: {
    step: activity(async (ctx, id: string, step: number): Promise<void> => {
      await postgresTx(ctx).query("INSERT INTO bench_steps VALUES ($1, $2)", [id, step]);
    }),
  },
  async execute(ctx, { id, steps: count }) {
    for (let step = 0; step < count; step += 1) await ctx.activities.step(id, step);
    return count;
  },
});

/**
 * Runs each kind of work alone, one by one and many at once, and returns what one of it cost; first, per second, what an
 * idle runner costs.
 *
 * @param many how many requests make the load
 */
export async function countAtPostgres(many: number): Promise<readonly Counted[]> {
  const server = await startCountedServer();
  const { reader } = server;
  try {
    await reader.query("CREATE TABLE bench_steps (id text, step int)");
    const cluster = await createCluster({
      storage: postgres({ connectionString: server.url }),
      register: [echo, steps, sqlSteps],
      shardRebalanceDebounce: 0,
      entityMailboxCapacity: 10_000,
    });
    await cluster.start();
    try {
      return await countAll(cluster, reader, many);
    } finally {
      await cluster.shutdown();
    }
  } finally {
    await server.stop();
  }
}

async function countAll(
  cluster: Awaited<ReturnType<typeof createCluster>>,
  reader: pg.Client,
  many: number,
): Promise<readonly Counted[]> {
  const idleFrom = await readServer(reader);
  await sleep(IDLE_MS);
  const idle = costBetween(idleFrom, await readServer(reader));
  const counted: Counted[] = [
    per("an idle runner, per second", idle, (IDLE_MS / 1_000) * (idle.ms / IDLE_MS)),
  ];
  let execution = 0;
  const request = (index: number): Promise<unknown> =>
    cluster.entity(Echo, `e${index % 256}`).persisted(PAYLOAD);
  const nextId = (): string => `x${(execution += 1)}`;
  const run = (result?: string) => (): Promise<unknown> =>
    cluster.workflow(Steps).execute({ id: nextId(), steps: 10, ...(result === undefined ? {} : { result }) });
  const runSql = (): Promise<unknown> => cluster.workflow(SqlSteps).execute({ id: nextId(), steps: 10 });
  const kinds = [
    { name: "persisted rpc", units: 1, call: request, count: many },
    { name: "activity, ten in a workflow", units: 10, call: run(), count: many / 20 },
    { name: "activity of 17 bytes, ten in a workflow", units: 10, call: run(SMALL), count: many / 20 },
    { name: "activity with SQL, ten in a workflow", units: 10, call: runSql, count: many / 40 },
  ];
  for (const { name, units, call, count } of kinds) {
    // Plans are made and entities come into memory.
    await inFlight(20, 10, call);
    for (const [how, calls, flight] of [
      ["one by one", Math.ceil(ONE_BY_ONE / units), 1],
      ["256 in flight", count, 256],
    ] as const) {
      const from = await readServer(reader);
      await inFlight(calls, flight, call);
      const cost = costBetween(from, await readServer(reader));
      const share = cost.ms / idle.ms;
      counted.push(
        per(
          `${name}, ${how}`,
          {
            statements: cost.statements - idle.statements * share,
            commits: cost.commits - idle.commits * share,
            walBytes: cost.walBytes - idle.walBytes * share,
          },
          calls * units,
        ),
      );
    }
  }
  const writeRuns = await bareRuns(reader);
  for (const [name, result] of [
    ["bare rows of a step, in groups of 256", PAYLOAD],
    ["bare rows of a step of 17 bytes, in groups of 256", SMALL],
  ] as const) {
    await writeRuns(1, JSON.stringify(result));
    const from = await readServer(reader);
    const runs = await writeRuns(many / 20, JSON.stringify(result));
    counted.push(per(name, costBetween(from, await readServer(reader)), runs * 10));
  }
  return counted;
}

function per(name: string, cost: ServerCost, units: number): Counted {
  return {
    name,
    statements: cost.statements / units,
    commits: cost.commits / units,
    walBytes: cost.walBytes / units,
  };
}

async function inFlight(
  count: number,
  flight: number,
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: flight }, async () => {
      while (next < count) await call((next += 1));
    }),
  );
}

/** Prints the table. */
export function reportCounts(counted: readonly Counted[]): void {
  console.log("\nAt PostgreSQL, for each one");
  console.table(
    Object.fromEntries(
      counted.map(({ name, statements, commits, walBytes }) => [
        name,
        {
          statements: statements.toFixed(3),
          commits: commits.toFixed(3),
          "WAL bytes": Math.round(walBytes),
        },
      ]),
    ),
  );
}
