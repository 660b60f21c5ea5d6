import { createCluster, type ClusterOptions } from "@holdfast/core";
import { Echo, echo, PAYLOAD, Steps, steps } from "./definitions.ts";
import { measure, report, type Variant } from "./rounds.ts";

/** A database as the benchmarks use it: raw, and under a cluster. */
export interface Database {
  readonly name: string;
  readonly storage: NonNullable<ClusterOptions["storage"]>;
  /** How many single-row inserts are under way at once. */
  readonly connections: number;
  query(text: string, params?: readonly unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

/** Persisted rpcs and activities on a database, beside single-row inserts, one commit each, on the same connections. */
export async function durable(database: Database): Promise<void> {
  await database.query(
    "create table if not exists bench_raw (id bigint generated always as identity, payload text)",
  );
  const cluster = await createCluster({
    storage: database.storage,
    runners: "memory:",
    register: [echo, steps],
    shardRebalanceDebounce: 0,
    entityMailboxCapacity: 10_000,
  });
  await cluster.start();
  const entities = Array.from({ length: 256 }, (_, index) => cluster.entity(Echo, `e${index}`));
  const workflow = cluster.workflow(Steps);
  const run = Math.floor(Math.random() * 1e9);
  let execution = 0;
  const persisted = (concurrency: number): Variant => ({
    name: `persisted rpc, ${concurrency} in flight`,
    concurrency,
    run: (index) => entities[index % 256]?.persisted(PAYLOAD) ?? Promise.resolve(),
  });
  const executions = (count: number, concurrency: number): Variant => ({
    name: `workflow of ${count} activities, ${concurrency} in flight`,
    concurrency,
    run: () => workflow.execute({ id: `${run}-${(execution += 1)}`, steps: count }),
  });
  try {
    const measured = await measure([
      {
        name: "raw insert, one row a commit",
        concurrency: database.connections,
        run: () => database.query("insert into bench_raw (payload) values ($1)", [PAYLOAD]),
      },
      persisted(1),
      persisted(64),
      persisted(256),
      executions(1, 50),
      executions(10, 50),
    ]);
    report(`${database.name} (baseline: raw inserts on ${database.connections} connections)`, measured);
    const ten = measured.find(({ name }) => name.startsWith("workflow of 10"));
    if (ten !== undefined)
      console.log(
        `Activities per second, 10 each: ${Math.round(ten.median * 10)} (${((ten.median * 10) / (measured[0]?.median ?? 1)).toFixed(2)} x raw inserts)`,
      );
  } finally {
    await cluster.shutdown();
    await database.close();
  }
}
