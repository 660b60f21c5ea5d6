// What the cluster of this test runs: an order that does all that a workflow can, and what it calls.

import { activity, defineActivityGroup, defineEntity, defineWorkflow, query, rpc } from "@holdfast/core";
import * as z from "zod";

/** Writes a label where effects are kept: in the transaction of `ctx`, if the storage has any. */
export type Effect = (ctx: object, label: string) => Promise<void>;

export const Sales = defineEntity({
  name: "Sales",
  rpcs: { add: rpc({ input: z.object({ order: z.string() }), persisted: true }) },
});

export const Ship = defineWorkflow({
  name: "Ship",
  input: z.object({ order: z.string(), waits: z.string() }),
  output: z.string(),
  key: ({ order }) => `ship-${order}`,
  hashKey: false,
});

export const Order = defineWorkflow({
  name: "Order",
  input: z.object({
    id: z.string(),
    /** How it ends. */
    does: z.enum(["ship", "fail", "wait"]),
    rounds: z.int().default(0),
  }),
  output: z.object({ label: z.string(), by: z.array(z.string()), rounds: z.int() }),
  key: ({ id }) => id,
  hashKey: false,
  signals: { approved: z.object({ by: z.string() }) },
  queries: { progress: query({ output: z.string() }) },
});

export function registrations(effect: Effect) {
  const Stock = defineActivityGroup({
    name: "Stock",
    activities: {
      reserve: activity(async (ctx, order: string, line: number) => {
        await effect(ctx, `${order} reserves ${line}`);
        return line;
      }),
      release: activity({ retries: 3, initialInterval: "50ms" }, async (ctx, order: string) => {
        if (ctx.attempt === 1) throw new Error("The stock is locked");
        await effect(ctx, `${order} releases`);
      }),
    },
  });
  const sales = Sales.implement({ add: ({ order }, ctx) => effect(ctx, `${order} is counted`) });
  const ship = Ship.implement({
    groups: [Stock],
    activities: { print: activity(async (ctx, order: string) => effect(ctx, `${order} is printed`)) },
    async execute(ctx, { order, waits }) {
      ctx.onCompensate("unship", () =>
        ctx.run("unship", (attempt) => effect(attempt, `${order} is unshipped`)),
      );
      await ctx.sleep(waits as "1s");
      await ctx.activities.print(order);
      return `label of ${order}`;
    },
  });
  const order = Order.implement({
    groups: [Stock],
    queries: { progress: (state) => state ?? "begun" },
    async execute(ctx, { id, does, rounds }) {
      if (rounds > 0) {
        await ctx.run(`round ${rounds}`, (attempt) => effect(attempt, `${id} round ${rounds}`));
        await ctx.sleep("100ms");
        return ctx.continueAsNew({ id, does, rounds: rounds - 1 });
      }
      ctx.setAttributes({ does, checked: false });
      ctx.onCompensate("release", () => ctx.activities.release(id));
      const lines = await Promise.all([1, 2, 3].map((line) => ctx.activities.reserve(id, line)));
      ctx.setState(`reserved ${lines.join()}`);
      await ctx.sleep("300ms");
      const by = [await ctx.signal("approved"), await ctx.signal("approved", { timeout: "10 minutes" })];
      ctx.setAttributes({ checked: true });
      ctx.setState("approved");
      await ctx.entity(Sales, "all").add({ order: id });
      if (does === "fail") throw new Error(`${id} is out of stock`);
      const label = await ctx
        .child(Ship)
        .execute({ order: id, waits: does === "wait" ? "10 minutes" : "1500ms" });
      ctx.setState("shipped");
      return { label, by: by.map((signal) => signal.by), rounds };
    },
  });
  return [sales, ship, order];
}

/** The effects that an order has, sorted. */
export function effectsOf(id: string, does: "ship" | "fail" | "wait", rounds: number): readonly string[] {
  return [
    ...Array.from({ length: rounds }, (_, round) => `${id} round ${round + 1}`),
    ...[1, 2, 3].map((line) => `${id} reserves ${line}`),
    `${id} is counted`,
    ...(does === "ship" ? [`${id} is printed`] : [`${id} releases`]),
    ...(does === "wait" ? [`${id} is unshipped`] : []),
  ].toSorted();
}
