// What is forgotten, and when.

import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { createTestCluster } from "../src/index.ts";

const Counter = defineEntity({
  name: "Counter",
  rpcs: { add: rpc<undefined, number>({ persisted: true }) },
});
const Job = defineWorkflow<{ id: string }, number>({
  name: "Job",
  key: ({ id }) => id,
  hashKey: false,
  retention: "4 minutes",
});

describe("retention", () => {
  it("keeps answers and their keys for its time, and after it the key is new again", async () => {
    let runs = 0;
    const counter = Counter.implement({
      async add() {
        runs += 1;
        return runs;
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [counter],
      storagePollInterval: "5s",
      requestRetention: "4 minutes",
    });
    const add = (): Promise<number> =>
      cluster.entity(Counter, "a").add(undefined, { idempotencyKey: "once" });
    expect(await add()).toBe(1);
    await cluster.advance("3 minutes");
    expect(await add()).toBe(1);
    // Sweeps are a twentieth of the time apart, and half as much later at the most.
    await cluster.advance("2 minutes");
    expect(await add()).toBe(2);
  });

  it("forgets a finished execution with its journal, so that its key starts a new one, and no running one", async () => {
    let runs = 0;
    const job = Job.implement({
      async execute(ctx, { id }) {
        const run = await ctx.run("count", () => {
          runs += 1;
          return runs;
        });
        if (id === "long") await ctx.sleep("10 minutes");
        return run;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [job], storagePollInterval: "5s" });
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(1);
    await cluster.workflow(Job).start({ id: "long" });
    await cluster.advance("2 minutes");
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(1);
    await cluster.advance("5 minutes");
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(3);
    await cluster.crash(0);
    await cluster.advance("4 minutes");
    // It began before and was never finished: its one activity ran once, and so did the wait.
    expect(await cluster.workflow(Job).execute({ id: "long" })).toBe(2);
    expect(runs).toBe(3);
  });
});
