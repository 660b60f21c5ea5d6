// A deploy that is taken back, or that forgets something: for a while no member serves a type that others have to do with.

import {
  activity,
  defineEntity,
  defineWorkflow,
  PersistenceError,
  rpc,
  UnknownEntityError,
  WorkflowFailedError,
  type Registration,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { notWritten, tampering } from "./tampering.ts";

const Ship = defineWorkflow({
  name: "Ship",
  input: z.string(),
  output: z.string(),
  key: (order) => order,
  hashKey: false,
  signals: { leave: z.string() },
});
const Parent = defineWorkflow<string, string>({ name: "Parent", key: (id) => id, hashKey: false });
const Till = defineEntity({
  name: "Till",
  rpcs: {
    pay: rpc<number, number>({ persisted: true }),
    payments: rpc<number, number>({ persisted: true, stream: true }),
  },
});

/** One runner, with both a parent and its child, and an entity. `charged` counts what the child did. */
async function shop() {
  const charged: string[] = [];
  const ship = Ship.implement({
    activities: { charge: activity(async (_ctx, order: string) => void charged.push(order)) },
    async execute(ctx, order) {
      const by = await ctx.signal("leave");
      await ctx.activities.charge(order);
      return `${order} by ${by}`;
    },
  });
  const parent = Parent.implement({
    async execute(ctx, id) {
      if (id === "starter") {
        await ctx.child(Ship).start("o1");
        await ctx.sleep("1 hour");
      }
      const isImpatient = id === "impatient";
      const shipped = ctx.child(Ship).execute("o1", { detached: isImpatient });
      return isImpatient ? Promise.race([shipped, ctx.sleep("2 minutes").then(() => "gone")]) : shipped;
    },
  });
  const till = Till.implement({
    pay: (amount) => amount * 2,
    async *payments(upTo) {
      for (let n = 0; n < upTo; n += 1) yield n;
    },
  });
  const all = { ship, parent, till };
  let served: readonly Registration[] = Object.values(all);
  const storage = { isReadable: true };
  const cluster = await createTestCluster({
    runners: 1,
    tamper: tampering(({ messages }) => ({
      messages: {
        async lookUp(...args) {
          if (!storage.isReadable) throw notWritten("lookUp");
          return messages.lookUp(...args);
        },
      },
    })),
    perRunner: () => ({
      get register() {
        return served;
      },
    }),
  });
  /** Deploys these anew. */
  const deploy = async (...names: (keyof typeof all)[]): Promise<void> => {
    served = names.map((name) => all[name]);
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("10s");
  };
  return { cluster, charged, deploy, storage, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

describe("while no member serves the parent's type", () => {
  it("its child completes, and the parent goes on as soon as it is served", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("p");
    const child = cluster.workflow(Ship).get("o1");
    await cluster.advance("3 minutes");
    await deploy("ship", "till");
    await child.signal("leave", "truck");
    await expect(child.result()).resolves.toBe("o1 by truck");
    expect(await parent.describe()).toMatchObject({ status: "suspended" });
    await deploy("ship", "parent");
    await cluster.advance("10s");
    await expect(parent.poll()).resolves.toBe("o1 by truck");
    expect(test.charged).toEqual(["o1"]);
  });
});

describe("while no member serves the type of a parent that has ended", () => {
  it("nothing waits for it when its child ends", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("impatient");
    const child = cluster.workflow(Ship).get("o1");
    await cluster.advance("3 minutes");
    await expect(parent.poll()).resolves.toBe("gone");
    await deploy("ship");
    await child.signal("leave", "truck");
    await expect(child.result()).resolves.toBe("o1 by truck");
    await cluster.advance("1 minute");
    expect(cluster.health(0).checks.served.ok).toBe(true);
  });
});

describe("while no member serves the type of a child that has ended", () => {
  it("nothing waits for it when its parent is cancelled", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("starter");
    const child = cluster.workflow(Ship).get("o1");
    await cluster.advance("1 minute");
    await child.signal("leave", "truck");
    await expect(child.result()).resolves.toBe("o1 by truck");
    await deploy("parent");
    await parent.cancel("changed my mind");
    await cluster.advance("1 minute");
    expect(await parent.describe()).toMatchObject({ status: "cancelled" });
    expect(cluster.health(0).checks.served.ok).toBe(true);
  });
});

describe("while no member serves the child's type", () => {
  it.each(["500ms", "3 minutes"])("its parent waits, which had waited %s before", async (before) => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("p");
    const child = cluster.workflow(Ship).get("o1");
    await cluster.advance(before);
    await deploy("parent", "till");
    // It comes back to memory, and asks for its child anew.
    await cluster.advance("2 hours");
    expect(await parent.poll()).toBeUndefined();
    await deploy("ship", "parent");
    await child.signal("leave", "truck");
    await cluster.advance("10s");
    await expect(parent.poll()).resolves.toBe("o1 by truck");
    expect(test.charged).toEqual(["o1"]);
  });

  it("who cancels the parent cancels the child, too, once it is served", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("p");
    await cluster.advance("3 minutes");
    await deploy("parent");
    await parent.cancel("changed my mind");
    await cluster.advance("1 minute");
    await deploy("ship", "parent");
    await cluster.advance("1 minute");
    expect(await cluster.workflow(Ship).get("o1").describe()).toMatchObject({ status: "cancelled" });
    expect(await parent.describe()).toMatchObject({ status: "cancelled" });
    expect(test.charged).toEqual([]);
  });

  it("who cancels the parent has its end at once where that does not wait for its child's", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const parent = await cluster.workflow(Parent).start("starter");
    await cluster.advance("1 minute");
    await deploy("parent");
    await parent.cancel("changed my mind");
    await cluster.advance("1 minute");
    expect(await parent.describe()).toMatchObject({ status: "cancelled" });
    await deploy("ship");
    await cluster.advance("1 minute");
    expect(await cluster.workflow(Ship).get("o1").describe()).toMatchObject({ status: "cancelled" });
  });

  it("an execution of it is signalled, awaited and started again as the one that it is", async () => {
    await using test = await shop();
    const { cluster, deploy } = test;
    const child = await cluster.workflow(Ship).start("o1");
    await cluster.advance("1 minute");
    await deploy("till");
    await child.signal("leave", "truck");
    await expect(cluster.workflow(Ship).start("o1")).resolves.toMatchObject({ executionId: "o1" });
    const result = child.result();
    await cluster.advance("10 minutes");
    await deploy("ship");
    await expect(result).resolves.toBe("o1 by truck");
    expect(test.charged).toEqual(["o1"]);
  });

  it("what was never accepted is refused at once", async () => {
    await using test = await shop();
    const { cluster, deploy, storage } = test;
    await deploy("parent");
    const till = cluster.entity(Till, "a");
    await expect(cluster.workflow(Ship).start("o1")).rejects.toThrow(UnknownEntityError);
    await expect(till.pay(1, { idempotencyKey: "k" })).rejects.toThrow(UnknownEntityError);
    await expect(till.payments(1, { idempotencyKey: "k" }).next()).rejects.toThrow(UnknownEntityError);
    // Whether it was, cannot be seen.
    storage.isReadable = false;
    await expect(till.pay(1, { idempotencyKey: "k" })).rejects.toThrow(PersistenceError);
    storage.isReadable = true;
    const failed = cluster.workflow(Parent).execute("p");
    await expect(failed).rejects.toThrow(WorkflowFailedError);
    await expect(failed).rejects.toMatchObject({ cause: { name: "UnknownEntityError" } });
  });
});

it("a request that is repeated under its key while no member serves its type has the reply of the first", async () => {
  await using test = await shop();
  const { cluster, deploy } = test;
  const pay = (amount: number): Promise<number> =>
    cluster.entity(Till, "a").pay(amount, { idempotencyKey: "k" });
  await expect(pay(2)).resolves.toBe(4);
  await deploy("ship");
  await expect(pay(2)).resolves.toBe(4);
});
