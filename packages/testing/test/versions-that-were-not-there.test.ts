// Executions that began before their workflow had versions, or continued as new since: which code goes on with them.

import { activity, defineWorkflow, type WorkflowContext } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import { inDoubt, tampering } from "./tampering.ts";

const options = { name: "Order", key: (id: string) => id, hashKey: false };
const Order = defineWorkflow<string, string>(options);
const VersionedOrder = defineWorkflow<string, string>({ ...options, version: "2" });

/** Has one of the two runners serve everything: the other one crashes. */
async function hasOnly(cluster: TestCluster, runner: 0 | 1): Promise<void> {
  await cluster.crash(1 - runner);
  await cluster.advance("2 minutes");
}

it("an execution that was killed in its first activity goes on with the code without a version that it began with", async () => {
  const keys = new Set<string>();
  let isStuck = true;
  const activities = {
    charge: activity(async ({ idempotencyKey }) => {
      keys.add(idempotencyKey);
      if (isStuck) await new Promise(() => undefined);
    }),
  };
  type Ctx = WorkflowContext & { activities: { charge(): Promise<void> } };
  const was = async (ctx: Ctx): Promise<string> => {
    await ctx.activities.charge();
    return "by the old code";
  };
  const old = Order.implement({ activities, execute: was as never });
  const both = VersionedOrder.implement({
    activities,
    versions: { "": was as never },
    async execute(ctx) {
      await ctx.run("check", () => undefined);
      await ctx.activities.charge();
      return "by the new code";
    },
  });
  await using cluster = await createTestCluster({
    runners: 2,
    perRunner: (index) => ({ register: [index === 0 ? old : both] }),
  });
  const client = cluster.workflow(Order);
  const hasOldCode = async (id: string): Promise<boolean> => {
    keys.clear();
    const handle = await client.start(id);
    await cluster.advance("1s");
    return (await handle.describe()).version === undefined;
  };
  let id = "order 0";
  for (let n = 1; !(await hasOldCode(id)); n += 1) id = `order ${n}`;
  isStuck = false;
  await hasOnly(cluster, 1);
  expect(await client.poll(id)).toBe("by the old code");
  expect(keys.size).toBe(1);
});

it("a fork goes on with the code of its origin, where that had no version", async () => {
  const old = async (ctx: WorkflowContext): Promise<string> => {
    await ctx.run("reserve", () => 1);
    await ctx.sleep("1 hour");
    return "by the old code";
  };
  const Was = Order.implement({ execute: old });
  const now = VersionedOrder.implement({
    versions: { "": old },
    async execute(ctx) {
      await ctx.sleep("1 minute");
      return "by the new code";
    },
  });
  const deployed = [Was, now];
  await using cluster = await createTestCluster({
    runners: 2,
    perRunner: (index) => ({ register: [deployed[index] ?? now] }),
  });
  await hasOnly(cluster, 0);
  const origin = await cluster.workflow(Order).start("1");
  await cluster.advance("2 hours");
  expect(await origin.poll()).toBe("by the old code");
  await cluster.restart(1);
  await hasOnly(cluster, 1);
  const fork = await cluster.workflow(VersionedOrder).get("1").fork({ fromStep: 1 });
  await cluster.advance("3 hours");
  expect(await fork.poll()).toBe("by the old code");
});

it("a fork goes on with the code of its origin, where that has continued as new", async () => {
  const meter = { name: "Meter", key: () => "1", hashKey: false };
  const V1 = defineWorkflow<number, string>({ ...meter, version: "1" });
  const V2 = defineWorkflow<number, string>({ ...meter, version: "2" });
  const first = async (ctx: WorkflowContext, run: number): Promise<string> => {
    await ctx.run("read", () => run);
    if (run === 0) return ctx.continueAsNew(1);
    await ctx.sleep("1 hour");
    return "by the old code";
  };
  const deployed = [
    V1.implement({ execute: first }),
    V2.implement({
      versions: { "1": first },
      async execute(ctx) {
        await ctx.sleep("1 minute");
        return "by the new code";
      },
    }),
  ] as const;
  await using cluster = await createTestCluster({
    runners: 2,
    perRunner: (index) => ({ register: [deployed[index] ?? deployed[1]] }),
  });
  await hasOnly(cluster, 0);
  await cluster.workflow(V1).start(0);
  await cluster.advance("10 minutes");
  await cluster.restart(1);
  await hasOnly(cluster, 1);
  const fork = await cluster.workflow(V2).get("1").fork({ fromStep: 1 });
  await cluster.advance("3 hours");
  expect(await fork.poll()).toBe("by the old code");
  expect((await fork.describe()).version).toBe("1");
});

it("an execution goes on with the version that it was begun with, although that came late", async () => {
  const now = VersionedOrder.implement({
    versions: { "": async () => "by the old code" },
    execute: async () => "by the new code",
  });
  let late: (() => Promise<unknown>) | null = null;
  let writes = 0;
  await using cluster = await createTestCluster({
    register: [now],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          writes += 1;
          if (writes === 1) {
            late = () => workflows.appendJournal(...args);
            throw inDoubt("appendJournal");
          }
          await late?.();
          late = null;
          return workflows.appendJournal(...args);
        },
      },
    })),
  });
  const handle = await cluster.workflow(VersionedOrder).start("1");
  await cluster.advance("1 minute");
  expect(await handle.poll()).toBe("by the new code");
  expect((await handle.describe()).version).toBe("2");
});
