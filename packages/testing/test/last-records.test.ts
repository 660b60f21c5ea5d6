// What an execution records last, which nothing waits for: it is there when the end is.

import { defineEntity, defineWorkflow, query, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import { Door, notWritten, tampering } from "./tampering.ts";

const Parcel = defineWorkflow({
  name: "Parcel",
  key: (id: string) => id,
  hashKey: false,
  queries: { where: query<void, unknown>() },
});
const parcel = Parcel.implement({
  queries: { where: (state) => state },
  async execute(ctx) {
    ctx.setState("packed");
    ctx.setState("delivered");
    ctx.setAttributes({ isDelivered: true });
    return "done";
  },
});

it.each(["while nothing fails", "although its owner crashes"])(
  "is recorded before the end %s",
  async (how) => {
    const storage = new Door();
    storage.close();
    await using cluster = await createTestCluster({
      register: [parcel],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(...args) {
            await storage.passed();
            return workflows.appendJournal(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parcel).start("1");
    await cluster.advance("1s");
    expect(await handle.poll()).toBeUndefined();
    if (how === "although its owner crashes") {
      await cluster.crash(0);
      cluster.revive(0);
    }
    storage.open();
    await cluster.advance("1 minute");
    expect(await handle.poll()).toBe("done");
    expect(await handle.query("where")).toBe("delivered");
    const found: string[] = [];
    for await (const { executionId } of cluster.workflow(Parcel).list({ attributes: { isDelivered: true } }))
      found.push(executionId);
    expect(found).toEqual(["1"]);
  },
);

it("is recorded before the end where its write fails at first", async () => {
  let writes = 0;
  await using cluster = await createTestCluster({
    register: [parcel],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          writes += 1;
          if (writes === 2) throw notWritten("appendJournal");
          return workflows.appendJournal(...args);
        },
      },
    })),
  });
  const handle = await cluster.workflow(Parcel).start("1");
  await cluster.advance("1 minute");
  expect(await handle.poll()).toBe("done");
  expect(await handle.query("where")).toBe("delivered");
});

it("is recorded before the end where it failed: so a call is made anew when the execution is resumed", async () => {
  const Bank = defineEntity({ name: "Bank", rpcs: { pay: rpc<void, string>({ persisted: true }) } });
  let calls = 0;
  const bank = Bank.implement({
    pay() {
      calls += 1;
      if (calls === 1) throw new Error("the card was refused");
      return "paid";
    },
  });
  const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });
  const order = Order.implement({ execute: (ctx) => ctx.entity(Bank, "b").pay() });
  let writes = 0;
  await using cluster = await createTestCluster({
    register: [bank, order],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          writes += 1;
          if (writes > 1) return workflows.appendJournal(...args);
          await cluster.sleep(100);
          throw notWritten("appendJournal");
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
