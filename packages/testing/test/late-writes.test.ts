// Writes of which nobody knows whether they happened, and which happen when the next copy of their execution is at work.

import { defineWorkflow } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import { Door, inDoubt, tampering } from "./tampering.ts";

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
    let writes = 0;
    let late = async (): Promise<void> => undefined;
    await using cluster = await createTestCluster({
      register: [quote],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(...args) {
            writes += 1;
            if (writes === 1) {
              if (when !== "never") late = () => workflows.appendJournal(...args);
              throw inDoubt("appendJournal");
            }
            if (when === "before what settles it") await late();
            await workflows.appendJournal(...args);
            await late();
          },
        },
      })),
    });
    const reply = cluster.workflow(Quote).execute();
    await cluster.advance("1 minute");
    const result = await reply;
    const { steps } = await cluster.workflow(Quote).get("1").describe();
    expect(steps.map((step) => step.result)).toEqual([result]);
    expect(rate, "what was sent counts, and is not done again").toBe(1);
  },
);

it("a resumed execution does not get back what its resumption forgot, where its last write was in doubt", async () => {
  const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });
  let attempts = 0;
  const order = Order.implement({
    execute: (ctx) =>
      ctx.run("pay", () => {
        attempts += 1;
        if (attempts === 1) throw new Error("the card was refused");
        return "paid";
      }),
  });
  let writes = 0;
  const replied = new Door();
  replied.close();
  await using cluster = await createTestCluster({
    register: [order],
    tamper: tampering(({ workflows, messages }) => ({
      workflows: {
        async appendJournal(...args) {
          await workflows.appendJournal(...args);
          writes += 1;
          if (writes > 1) return;
          await replied.passed();
          throw inDoubt("appendJournal");
        },
      },
      messages: {
        async saveReply(...args) {
          const saved = await messages.saveReply(...args);
          replied.open();
          return saved;
        },
      },
    })),
  });
  const handle = await cluster.workflow(Order).start();
  await cluster.advance("1 minute");
  await expect(handle.poll()).rejects.toThrow("the card was refused");
  await handle.resume();
  await cluster.advance("1 minute");
  expect(await handle.poll()).toBe("paid");
});
