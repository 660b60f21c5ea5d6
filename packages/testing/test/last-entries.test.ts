// The last entries of an execution, which go to storage beside its end.

import { defineWorkflow } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, inDoubt, notWritten, tampering } from "./tampering.ts";

const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });

describe.each([
  ["are known not to be there", notWritten],
  ["may not be there", inDoubt],
])("the last entries of an execution that %s", (_, lostWith) => {
  it.each(["fails with them", "passes without them"])("are there where its end %s", async (end) => {
    let payments = 0;
    let isBroken = true;
    const order = Order.implement({
      async execute(ctx) {
        ctx.setAttributes({ paid: true });
        await ctx.run("pay", () => {
          payments += 1;
        });
        if (isBroken) throw new Error("a bug");
        return "paid";
      },
    });
    let entries = 0;
    let replies = 0;
    await using cluster = await createTestCluster({
      register: [order],
      tamper: tampering(({ workflows, messages }) => ({
        workflows: {
          async appendJournal(...args) {
            entries += 1;
            if (entries > 2) return workflows.appendJournal(...args);
            // By then its code has ended.
            for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
            if (entries === 1) return workflows.appendJournal(...args);
            throw lostWith("appendJournal");
          },
        },
        messages: {
          async saveReply(...args) {
            replies += 1;
            if (replies === 1 && end === "fails with them") throw lostWith("saveReply");
            return messages.saveReply(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Order).start();
    await cluster.advance("1 minute");
    await expect(handle.result()).rejects.toThrow("a bug");
    const { steps, attributes } = await handle.describe();
    expect(steps.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "setAttributes completed",
      "pay completed",
    ]);
    expect(attributes).toEqual({ paid: true });
    isBroken = false;
    await handle.resume();
    await cluster.advance("1 minute");
    expect(await handle.result()).toBe("paid");
    expect(payments).toBe(1);
  });

  it("are there before its failed end, so that who resumes it finds no gap", async () => {
    let payments = 0;
    let isBroken = true;
    const order = Order.implement({
      async execute(ctx) {
        const paid = ctx.run("pay", () => {
          payments += 1;
        });
        await Promise.all([ctx.run("look", () => "fine"), paid.then(() => ctx.now())]);
        if (isBroken) throw new Error("a bug");
        return "paid";
      },
    });
    const again = new Door();
    again.close();
    let writes = 0;
    await using cluster = await createTestCluster({
      register: [order],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(...args) {
            writes += 1;
            const isSecond = writes === 2;
            if (writes === 3) await again.passed();
            // By then its code has ended.
            else if (writes < 3) for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
            if (isSecond) throw lostWith("appendJournal");
            return workflows.appendJournal(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Order).start();
    await cluster.advance("10s");
    expect(await handle.poll()).toBeUndefined();
    again.open();
    await cluster.advance("10s");
    await expect(handle.poll()).rejects.toThrow("a bug");
    isBroken = false;
    await handle.resume();
    await cluster.advance("1 minute");
    expect(await handle.poll()).toBe("paid");
    expect(payments).toBe(1);
  });
});

it("the last result of a completed execution that is slow to be written holds up no answer", async () => {
  const order = Order.implement({ execute: (ctx) => ctx.run("pay", () => "paid") });
  await using cluster = await createTestCluster({
    register: [order],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          await cluster.sleep(20_000);
          return workflows.appendJournal(...args);
        },
      },
    })),
  });
  const handle = await cluster.workflow(Order).start();
  let answer: string | undefined;
  void handle.result().then((result) => (answer = result));
  await cluster.advance("1s");
  expect(answer).toBe("paid");
  await cluster.advance("1 minute");
  expect((await handle.describe()).steps).toMatchObject([{ name: "pay", status: "completed" }]);
});
