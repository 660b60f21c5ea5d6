// Holdfast on PostgreSQL: one runner, with everything at its defaults but for the connections that handlers' transactions need.

import { activity, createCluster, defineWorkflow } from "@holdfast/core";
import { postgres, postgresTx } from "@holdfast/storage-postgres";
import { grpc } from "@holdfast/transport-grpc";
import pg from "pg";
import type { OpenContestant, Workload } from "../contestant.ts";
import { Echo, echo, PAYLOAD, Steps, steps } from "../definitions.ts";
import { drain } from "./drain.ts";
import { wakeUp } from "./wake-up.ts";

const ENTITIES = 256;
const ACCOUNTS = 1_000;
const SQL_STEPS = 10;
const BULK = 100;
/** 16 transactions at a time, and the four connections that are kept free of handlers. */
const POOL_SIZE = 20;

const Transfers = defineWorkflow<string, void>({ name: "Transfers", key: (id) => id });
const transfers = Transfers.implement({
  activities: {
    // The same writes as the bare transaction: an update by the user, and a row in the journal, which is Holdfast's own.
    transfer: activity(async (ctx, account: number): Promise<void> => {
      await postgresTx(ctx).query("UPDATE accounts SET balance = balance + 1 WHERE id = $1", [account]);
    }),
  },
  async execute(ctx) {
    for (let step = 0; step < SQL_STEPS; step += 1)
      await ctx.activities.transfer(Math.floor(ctx.random() * ACCOUNTS));
  },
});

export const open: OpenContestant = async ({ postgres: url }) => {
  await makeAccounts(url);
  const wakened = wakeUp(url);
  const cluster = await createCluster({
    storage: postgres({ connectionString: url, poolSize: POOL_SIZE }),
    transport: grpc(),
    register: [echo, steps, transfers, wakened.implementation],
    shardRebalanceDebounce: 0,
    entityMailboxCapacity: 100_000,
  });
  await cluster.start();
  const entities = Array.from({ length: ENTITIES }, (_, index) => cluster.entity(Echo, `e${index}`));
  const echoOf = (index: number) => entities[index % ENTITIES] ?? cluster.entity(Echo, "e0");
  let executions = 0;
  const workflowOf = (count: number): Workload => ({
    kind: "closed loop",
    call: () => cluster.workflow(Steps).execute({ id: `x${(executions += 1)}`, steps: count }),
  });
  let sent = 0;
  // So late that none of them is handled here, as nobody takes the peers' jobs either.
  const later = new Date(Date.now() + 24 * 3_600_000);
  return {
    workloads: {
      "persisted rpc": { kind: "closed loop", call: (caller) => echoOf(caller).persisted(PAYLOAD) },
      "workflow of 1 step": workflowOf(1),
      "workflow of 10 steps": workflowOf(10),
      "sql activity": {
        kind: "closed loop",
        unitsPerCall: SQL_STEPS,
        call: () => cluster.workflow(Transfers).execute(`t${(executions += 1)}`),
      },
      "bulk send": {
        kind: "closed loop",
        unitsPerCall: BULK,
        call: () =>
          Promise.all(
            Array.from({ length: BULK }, () =>
              echoOf((sent += 1)).persisted.notify(PAYLOAD, { deliverAt: later }),
            ),
          ),
      },
      drain: drain(url),
      "wake-up": wakened.workload,
    },
    async close() {
      wakened.close();
      await cluster.shutdown();
    },
  };
};

async function makeAccounts(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)");
  await client.query("INSERT INTO accounts SELECT n, 0 FROM generate_series(0, $1 - 1) AS n", [ACCOUNTS]);
  await client.end();
}
