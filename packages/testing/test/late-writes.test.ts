// Writes of which nobody knows whether they happened, and which happen when the next copy of their execution is at work.

import { defineWorkflow } from "@holdfast/core";
import { transactionScopeOf, type WorkflowStorage } from "@holdfast/core/adapter";
import { createTestCluster, replayWorkflow } from "@holdfast/testing";
import { expect, it } from "vitest";
import { appending, codeEnds, inDoubt, tampering } from "./tampering.ts";

it.each(["before what settles it", "after what settles it", "never"] as const)(
  "a step is recorded with the value that the execution went on with, where a write of before comes late: %s",
  async (when) => {
    const Quote = defineWorkflow<void, number>({ name: "Quote", key: () => "1", hashKey: false });
    let rate = 0;
    const quote = Quote.implement({
      execute: (ctx) =>
        ctx.run("rate", () => {
          rate += 1;
          return rate;
        }),
    });
    let late = async (): Promise<void> => undefined;
    await using cluster = await createTestCluster({
      register: [quote],
      tamper: appending(async (append, number) => {
        if (number === 1) {
          if (when !== "never") late = append;
          throw inDoubt("appendJournal");
        }
        if (when === "before what settles it") await late();
        await append();
        await late();
      }),
    });
    const reply = cluster.workflow(Quote).execute();
    await cluster.advance("1 minute");
    const result = await reply;
    const { steps } = await cluster.workflow(Quote).get("1").describe();
    expect(steps.map((step) => step.result)).toEqual([result]);
    expect(rate, "what was sent counts, and is not done again").toBe(1);
  },
);

/** Fails once, and tells of it. */
function paying(whileItIsDoneAnew: () => Promise<void>) {
  const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });
  let attempts = 0;
  const order = Order.implement({
    async execute(ctx) {
      const pay = ctx.run("pay", async () => {
        attempts += 1;
        if (attempts === 1) throw new Error("the card was refused");
        await whileItIsDoneAnew();
        return "paid";
      });
      return pay.catch(async (error: unknown) => {
        await ctx.run("tell", () => "told");
        throw error;
      });
    },
  });
  return { Order, order };
}

it("a resumed execution does not get back what its resumption forgot, where its last write was in doubt", async () => {
  const { Order, order } = paying(async () => undefined);
  await using cluster = await createTestCluster({
    register: [order],
    tamper: appending(async (append, number) => {
      await append();
      await codeEnds();
      if (number === 2) throw inDoubt("appendJournal");
    }),
  });
  const handle = await cluster.workflow(Order).start();
  await cluster.advance("1 minute");
  await expect(handle.poll()).rejects.toThrow("the card was refused");
  await handle.resume();
  await cluster.advance("1 minute");
  expect(await handle.poll()).toBe("paid");
  await expect(replayWorkflow(order, await handle.exportJournal())).resolves.toMatchObject({
    result: "paid",
  });
});

it.each([1, 2])(
  "a resumed execution does not get back what its resumption forgot, where write %i of before comes late",
  async (which) => {
    let late = async (): Promise<void> => undefined;
    const { Order, order } = paying(() => late());
    await using cluster = await createTestCluster({
      register: [order],
      tamper: appending(async (append, number) => {
        if (number !== which) return append();
        late = append;
        throw inDoubt("appendJournal");
      }),
    });
    const handle = await cluster.workflow(Order).start();
    await cluster.advance("1 minute");
    await expect(handle.poll()).rejects.toThrow("the card was refused");
    await handle.resume();
    await cluster.advance("1 minute");
    expect(await handle.poll()).toBe("paid");
    await expect(replayWorkflow(order, await handle.exportJournal())).resolves.toMatchObject({
      result: "paid",
    });
  },
);

/** Appends, and commits no transaction whose ordinal is taken. */
function refusing(workflows: WorkflowStorage, committed: () => void): WorkflowStorage["appendJournal"] {
  return async (execution, entries, fence, transaction) => {
    const { entries: there } = await workflows.readExecution(execution, { execution: "", inbox: [] });
    const isThere = there.some(({ ordinal }) => ordinal === entries[0]?.ordinal);
    if (transaction !== null && isThere) throw inDoubt("appendJournal");
    await workflows.appendJournal(execution, entries, fence, null);
    if (transaction !== null) committed();
  };
}

it.each(["the attributes", "the transaction"])(
  "%s of a run that is over stay as they are, where a write of it comes late",
  async (what) => {
    const Meter = defineWorkflow<number, number>({ name: "Meter", key: () => "1", hashKey: false });
    let late = async (): Promise<void> => undefined;
    let committed = 0;
    const meter = Meter.implement({
      async execute(ctx, round) {
        ctx.setAttributes({ round });
        if (round > 1) return ctx.run("late", () => late().then(() => round));
        await ctx.run("bill", (activity) => void transactionScopeOf(activity, "test").open("test"));
        return ctx.continueAsNew(round + 1);
      },
    });
    let isInDoubt = true;
    await using cluster = await createTestCluster({
      register: [meter],
      tamper: tampering(({ workflows }) => {
        const append = refusing(workflows, () => (committed += 1));
        return {
          workflows: {
            async appendJournal(...args) {
              const isIt = (args[3] !== null) === (what === "the transaction");
              if (!isInDoubt || !isIt) return append(...args);
              isInDoubt = false;
              late = () => append(...args).catch(() => undefined);
              throw inDoubt("appendJournal");
            },
          },
          messages: {
            beginTransaction: () => ({ kind: "test", lostWith: null, rollback: async () => undefined }),
          },
        };
      }),
    });
    const handle = await cluster.workflow(Meter).start(1);
    await cluster.advance("1 minute");
    expect(await handle.poll()).toBe(2);
    expect((await handle.describe()).attributes).toEqual({ round: 2 });
    expect(committed).toBe(1);
  },
);

it.each(["that failed", "that followed what failed"])(
  "a transaction of a step %s is not committed once more, where it comes as its execution is resumed",
  async (which) => {
    const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });
    let attempts = 0;
    const order = Order.implement({
      async execute(ctx) {
        const pay = () =>
          ctx.run("pay", (activity) => {
            attempts += 1;
            if (attempts === 2) throw new Error("the card was refused");
            transactionScopeOf(activity, "test").open("test");
            return "paid";
          });
        if (which === "that failed") return pay();
        const error = new Error("the goods are gone");
        await ctx.run("reserve", () => Promise.reject(error)).catch(() => undefined);
        return pay().catch(() => Promise.reject(error));
      },
    });
    let late = async (): Promise<void> => undefined;
    let committed = 0;
    let isInDoubt = true;
    await using cluster = await createTestCluster({
      register: [order],
      tamper: tampering(({ workflows }) => {
        const append = refusing(workflows, () => (committed += 1));
        return {
          workflows: {
            async appendJournal(...args) {
              if (!isInDoubt || args[3] === null) return append(...args);
              isInDoubt = false;
              late = () => append(...args).catch(() => undefined);
              throw inDoubt("appendJournal");
            },
            async reopenExecution(...args) {
              const address = await workflows.reopenExecution(...args);
              await late();
              return address;
            },
          },
          messages: {
            beginTransaction: () => ({ kind: "test", lostWith: null, rollback: async () => undefined }),
          },
        };
      }),
    });
    const handle = await cluster.workflow(Order).start();
    await cluster.advance("1 minute");
    await expect(handle.poll()).rejects.toThrow();
    expect(committed).toBe(0);
    await handle.resume();
    await cluster.advance("1 minute");
    await handle.poll().catch(() => undefined);
    expect(committed).toBe(1);
  },
);
