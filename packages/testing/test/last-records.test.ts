// What an execution records last, which nothing waits for: it is there when the end is.

import { defineEntity, defineWorkflow, query, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { appending, codeEnds, Door, inDoubt, notWritten, tampering } from "./tampering.ts";

const Order = defineWorkflow<void, string>({ name: "Order", key: () => "1", hashKey: false });

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
      tamper: appending(async (append) => {
        await storage.passed();
        await append();
      }),
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
  await using cluster = await createTestCluster({
    register: [parcel],
    tamper: appending(async (append, number) => {
      if (number === 2) throw notWritten("appendJournal");
      await append();
    }),
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
  const order = Order.implement({ execute: (ctx) => ctx.entity(Bank, "b").pay() });
  await using cluster = await createTestCluster({
    register: [bank, order],
    tamper: appending(async (append, number) => {
      if (number > 1) return append();
      await cluster.sleep(100);
      throw notWritten("appendJournal");
    }),
  });
  const handle = await cluster.workflow(Order).start();
  await cluster.advance("1 minute");
  await expect(handle.poll()).rejects.toThrow("the card was refused");
  await handle.resume();
  await cluster.advance("1 minute");
  expect(await handle.poll()).toBe("paid");
});

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
            if (entries <= 2) await codeEnds();
            if (entries === 2) throw lostWith("appendJournal");
            return workflows.appendJournal(...args);
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
    await using cluster = await createTestCluster({
      register: [order],
      tamper: appending(async (append, number) => {
        if (number <= 2) await codeEnds();
        if (number === 2) throw lostWith("appendJournal");
        if (number === 3) await again.passed();
        await append();
      }),
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

it("the last result of a completed execution is there where its write and that of the end both fail at first", async () => {
  const order = Order.implement({ execute: (ctx) => ctx.run("pay", () => "paid") });
  let [entries, replies] = [0, 0];
  await using cluster = await createTestCluster({
    register: [order],
    tamper: tampering(({ workflows, messages }) => ({
      workflows: {
        async appendJournal(...args) {
          entries += 1;
          if (entries > 1) return workflows.appendJournal(...args);
          await codeEnds();
          throw notWritten("appendJournal");
        },
      },
      messages: {
        async saveReply(...args) {
          replies += 1;
          if (replies === 1) throw notWritten("saveReply");
          return messages.saveReply(...args);
        },
      },
    })),
  });
  const handle = await cluster.workflow(Order).start();
  await cluster.advance("10s");
  await handle.result();
  expect(replies).toBe(2);
  expect((await handle.describe()).steps).toMatchObject([{ name: "pay", status: "completed" }]);
});

it("the last result of a completed execution that is slow to be written holds up no answer", async () => {
  const order = Order.implement({ execute: (ctx) => ctx.run("pay", () => "paid") });
  await using cluster = await createTestCluster({
    register: [order],
    tamper: appending(async (append) => {
      await cluster.sleep(20_000);
      await append();
    }),
  });
  const handle = await cluster.workflow(Order).start();
  let answer: string | undefined;
  void handle.result().then((result) => (answer = result));
  await cluster.advance("1s");
  expect(answer).toBe("paid");
  await cluster.advance("1 minute");
  expect((await handle.describe()).steps).toMatchObject([{ name: "pay", status: "completed" }]);
});

it("the last result of a completed execution that is slow to be written is there before its shard moves", async () => {
  const order = Order.implement({ execute: (ctx) => ctx.run("pay", () => "paid") });
  await using cluster = await createTestCluster({
    register: [order],
    tamper: appending(async (append) => {
      await cluster.sleep(2_000);
      await append();
    }),
  });
  const handle = await cluster.workflow(Order).start();
  await cluster.advance("1s");
  expect(await handle.poll()).toBe("paid");
  const leaving = cluster.runners[0]?.shutdown();
  await cluster.advance("10s");
  await leaving;
  await cluster.restart(0);
  expect((await handle.describe()).steps).toMatchObject([{ name: "pay", status: "completed" }]);
});

it("the last result that was owed under an earlier epoch of a shard holds up no move of it", async () => {
  const [replying, owed] = [new Door(), new Door()];
  const order = Order.implement({ execute: (ctx) => ctx.run("pay", () => "paid") });
  await using cluster = await createTestCluster({
    register: [order],
    tamper: tampering(({ messages, workflows }) => ({
      messages: {
        async saveReply(...args) {
          const reply = await messages.saveReply(...args);
          await replying.passed();
          return reply;
        },
      },
      workflows: {
        async appendJournal(...args) {
          await owed.passed();
          return workflows.appendJournal(...args);
        },
      },
    })),
  });
  replying.close();
  owed.close();
  await cluster.workflow(Order).start();
  await cluster.advance("1s");
  await cluster.pause(0);
  await cluster.advance("1 minute");
  await cluster.resume(0);
  await cluster.advance("1 minute");
  replying.open();
  await cluster.advance("1s");
  let hasLeft = false;
  void cluster.runners[0]?.shutdown().then(() => (hasLeft = true));
  await cluster.advance("5s");
  expect(hasLeft).toBe(true);
  owed.open();
});
