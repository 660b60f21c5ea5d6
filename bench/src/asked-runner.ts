// Asked runner: one runner on PostgreSQL in this process, and what it is asked under load. Each answer is checked.

import { createCluster } from "@holdfast/core";
import { postgresDatabase } from "./databases.ts";
import { Echo, echo, PAYLOAD, Steps, steps } from "./definitions.ts";

export type Asking = "persisted rpc" | "volatile rpc" | "workflow of 10 steps";

export interface AskedRunner {
  /** How its database is called. */
  readonly name: string;
  /** Asks for one, which is new for each call. Rejects if what it gets is not what it should be. */
  readonly ask: Readonly<Record<Asking, () => Promise<void>>>;
  /** The runner's counters. */
  counters(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** So many entities are asked in turn, each so often; then others are, and these leave memory. */
const AT_A_TIME = 512;
const TIMES_EACH = 10;
const STEPS = 10;

/** @throws {Error} there is no PostgreSQL */
export async function openAskedRunner(options: { readonly entityMaxIdleTime: number }): Promise<AskedRunner> {
  const database = await postgresDatabase();
  const cluster = await createCluster({
    storage: database.storage,
    register: [echo, steps],
    shardRebalanceDebounce: 0,
    entityMailboxCapacity: 10_000,
    ...options,
  });
  await cluster.start();
  const asked = { rpcs: 0, executions: 0 };
  const entity = () => {
    const number = asked.rpcs;
    asked.rpcs += 1;
    const generation = Math.floor(number / (AT_A_TIME * TIMES_EACH));
    return cluster.entity(Echo, `e${generation}-${number % AT_A_TIME}`);
  };
  return {
    name: database.name,
    ask: {
      "persisted rpc": async () => check(await entity().persisted(PAYLOAD), PAYLOAD),
      "volatile rpc": async () => check(await entity().volatile(PAYLOAD), PAYLOAD),
      async "workflow of 10 steps"() {
        asked.executions += 1;
        check(await cluster.workflow(Steps).execute({ id: `x${asked.executions}`, steps: STEPS }), STEPS);
      },
    },
    counters: () => cluster.metrics.snapshot(),
    async close() {
      await cluster.shutdown();
      await database.close();
    },
  };
}

/** @throws {Error} it is another answer */
function check(answer: unknown, expected: unknown): void {
  if (answer !== expected) throw new Error(`The answer was ${String(answer)}, not ${String(expected)}`);
}
