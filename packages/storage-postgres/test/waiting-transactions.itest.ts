// More handlers and activities than there are connections for their transactions.

import { setTimeout as sleep } from "node:timers/promises";
import { activity, createCluster, defineEntity, defineWorkflow, rpc, type Cluster } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { pglite, postgresTx } from "../src/index.ts";

const COUNT = 8;

const Wallet = defineEntity({ name: "Wallet", rpcs: { pay: rpc<number, number>({ persisted: true }) } });
const wallet = Wallet.implement({
  async pay(amount, ctx) {
    await payIn(ctx);
    return amount;
  },
});
const Payment = defineWorkflow<number, number>({ name: "Payment", key: (amount) => `p${amount}` });
const payment = Payment.implement({
  activities: { pay: activity((ctx) => payIn(ctx)) },
  async execute(ctx, amount) {
    await ctx.activities.pay();
    return amount;
  },
});

/** Takes the only connection for half of the time for which others wait for it. */
async function payIn(ctx: object): Promise<void> {
  await postgresTx(ctx).query("SELECT 1");
  await sleep(50);
}

describe("what waits for a transaction in vain", () => {
  const calls: Readonly<Record<string, (cluster: Cluster, amount: number) => Promise<number>>> = {
    "a request": (cluster, amount) => cluster.entity(Wallet, `w${amount}`).pay(amount),
    "an execution": (cluster, amount) => cluster.workflow(Payment).execute(amount),
  };

  it.each(Object.entries(calls))(
    "is no attempt of %s, which is repeated until it has one",
    async (_, call) => {
      const warnings: string[] = [];
      const cluster = await createCluster({
        storage: pglite({ transactionWait: "100ms" }),
        register: [wallet, payment],
        shardsPerGroup: 4,
        shardRebalanceDebounce: 0,
        storageMessageMaxRetries: 1,
        logger: {
          debug: () => undefined,
          info: () => undefined,
          warn: (message) => void warnings.push(message),
          error: () => undefined,
        },
      });
      await cluster.start();
      try {
        const amounts = Array.from({ length: COUNT }, (_each, amount) => amount);
        expect(await Promise.all(amounts.map((amount) => call(cluster, amount)))).toEqual(amounts);
        expect(warnings.filter((message) => message.includes("repeated")).length).toBeGreaterThan(0);
      } finally {
        await cluster.shutdown();
      }
    },
  );
});
