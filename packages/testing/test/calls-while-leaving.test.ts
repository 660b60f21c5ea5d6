// What handlers call while their shard is about to move. Entities with one id are on one shard: its next owner waits for the
// handler, which must not wait for the next owner.

import { defineEntity, defineWorkflow, InterruptedError, rpc, type HandlerContext } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, tampering } from "./tampering.ts";

const Order = defineEntity({
  name: "Order",
  concurrency: 2,
  rpcs: { place: rpc<string, string>(), placeKept: rpc<string, string>({ persisted: true }) },
});
const Cart = defineEntity({
  name: "Cart",
  rpcs: {
    empty: rpc<string, string>(),
    emptyKept: rpc<string, string>({ persisted: true }),
  },
});
const Tally = defineEntity({ name: "Tally", rpcs: { count: rpc<number, number>({ stream: true }) } });

const Delivery = defineWorkflow<string, void>({ name: "Delivery", key: (id) => id, hashKey: false });

/** Holds back who waits for it until it is opened. */
class Gate {
  open: () => void = () => undefined;
  readonly passed = new Promise<void>((resolve) => (this.open = resolve));
}

/** A handler that calls the cart of its own id, once it may. */
const afterwardsEmpties =
  (gate: Gate) =>
  async (_text: string, ctx: HandlerContext): Promise<string> => {
    await gate.passed;
    return ctx.entity(Cart, ctx.entityId).empty("");
  };

const echo = (text: string): string => text;

/** Begins to stop the runner that has accepted something, and comes back while it drains. */
async function stopOwner(cluster: TestCluster): Promise<void> {
  await cluster.advance("100ms");
  const owner = cluster.runners.find(({ metrics }) => (metrics.snapshot()["accepted"] ?? 0) > 0);
  void owner?.shutdown();
  await cluster.advance("50ms");
  expect(owner?.status().state).toBe("draining");
}

describe("a handler of a shard that is about to move", () => {
  const calls = (["place", "placeKept"] as const).flatMap((outer) =>
    (["empty", "emptyKept"] as const).flatMap((inner) =>
      [1, 2].map((runners) => ({ outer, inner, runners })),
    ),
  );

  it.each(calls)(
    "calls the entity of its own id: $outer, $inner, $runners",
    async ({ outer, inner, runners }) => {
      const gate = new Gate();
      const work = async (id: string, ctx: HandlerContext): Promise<string> => {
        await gate.passed;
        return ctx.entity(Cart, id)[inner](id);
      };
      const emptied: string[] = [];
      const note = (id: string): string => {
        emptied.push(id);
        return "empty";
      };
      await using cluster = await createTestCluster({
        runners,
        register: [
          Order.implement({ place: work, placeKept: work }),
          Cart.implement({ empty: note, emptyKept: note }),
        ],
      });
      const placed = cluster.entity(Order, "u1")[outer]("u1");
      await stopOwner(cluster);
      gate.open();
      await expect(placed).resolves.toBe("empty");
      expect(emptied).toEqual(["u1"]);
    },
  );

  it("calls it by way of another call, and reads a stream of it", async () => {
    const gate = new Gate();
    const order = Order.implement({
      place: afterwardsEmpties(gate),
      placeKept: async (text: string, ctx: HandlerContext) => {
        let sum = 0;
        for await (const n of ctx.entity(Tally, ctx.entityId).count(3)) sum += n;
        return `${text}${sum}`;
      },
    });
    const cart = Cart.implement({
      empty: (_text: string, ctx: HandlerContext) => ctx.entity(Order, ctx.entityId).placeKept("sum: "),
      emptyKept: echo,
    });
    const tally = Tally.implement({
      count: async function* (upTo: number) {
        for (let n = 1; n <= upTo; n += 1) yield n;
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [order, cart, tally] });
    const placed = cluster.entity(Order, "u1").place("");
    await stopOwner(cluster);
    gate.open();
    await cluster.advance("1 minute");
    await expect(placed).resolves.toBe("sum: 6");
  });

  it("calls an entity of which storage had not been read yet when the shard was about to move", async () => {
    const [gate, reading] = [new Gate(), new Door()];
    reading.close();
    const order = Order.implement({
      async place(id: string, ctx: HandlerContext) {
        await gate.passed;
        return ctx.entity(Cart, id).emptyKept(id);
      },
      placeKept: echo,
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [order, Cart.implement({ empty: echo, emptyKept: echo })],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readPending(...args) {
            await reading.passed();
            return messages.readPending(...args);
          },
        },
      })),
    });
    let placed: unknown = null;
    void cluster
      .entity(Order, "u1")
      .place("u1")
      .then((said) => (placed = said), String);
    await stopOwner(cluster);
    reading.open();
    await cluster.advance("50ms");
    gate.open();
    await cluster.advance("1s");
    expect(placed).toBe("u1");
  });

  it("is not cut where a runner joins", async () => {
    const gate = new Gate();
    const order = Order.implement({
      place: afterwardsEmpties(gate),
      placeKept: echo,
    });
    const cart = Cart.implement({ empty: () => "ok", emptyKept: () => "ok" });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart] });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    const placed = Promise.all(Array.from({ length: 40 }, (_, n) => cluster.entity(Order, `${n}`).place("")));
    await cluster.advance("100ms");
    const restarted = cluster.restart(1);
    while (cluster.runners[0]?.shardsOwned === 300) await cluster.advance("50ms");
    await cluster.advance("200ms");
    gate.open();
    await cluster.advance("1 minute");
    expect(new Set(await placed)).toEqual(new Set(["ok"]));
    await restarted;
  });

  it.each(["empty", "emptyKept"] as const)("has its call handled that waits already: %s", async (inner) => {
    const slow = new Gate();
    const handled: string[] = [];
    const order = Order.implement({
      place: async (_text: string, ctx: HandlerContext) => {
        const cart = ctx.entity(Cart, ctx.entityId);
        await cart.emptyKept.notify("first");
        return cart[inner]("second");
      },
      placeKept: echo,
    });
    const work = async (text: string): Promise<string> => {
      handled.push(text);
      if (text === "first") await slow.passed;
      return text;
    };
    const cart = Cart.implement({ empty: work, emptyKept: work });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart] });
    const placed = cluster.entity(Order, "u1").place("");
    await stopOwner(cluster);
    slow.open();
    await cluster.advance("1 minute");
    await expect(placed).resolves.toBe("second");
    expect(handled).toEqual(["first", "second"]);
  });

  it("does not overtake what was accepted before for the same entity, and read by nobody", async () => {
    const gate = new Gate();
    const handled: string[] = [];
    const accepted: string[] = [];
    const order = Order.implement({
      place: async (_text: string, ctx: HandlerContext) => {
        const cart = ctx.entity(Cart, ctx.entityId);
        await cart.emptyKept.notify("first");
        accepted.push("first");
        await gate.passed;
        return cart.emptyKept("second");
      },
      placeKept: echo,
    });
    const note = (text: string): string => {
      handled.push(text);
      return text;
    };
    const cart = Cart.implement({ empty: note, emptyKept: note });
    await using cluster = await createTestCluster({ runners: 2, shardsPerGroup: 2, register: [order, cart] });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    cluster.faults({ storageDelay: ["100ms", "100ms"] });
    const restarted = cluster.restart(1);
    // The shard that it has now is not read yet: what is accepted is only stored.
    while ((cluster.runners[1]?.shardsOwned ?? 0) === 0) await cluster.advance("5ms");
    await cluster.advance("50ms");
    const placed = Promise.allSettled([cluster.entity(Order, "u2").place("")]);
    while (accepted.length === 0) await cluster.advance("5ms");
    await cluster.advance("20ms");
    void cluster.runners[1]?.shutdown();
    await cluster.advance("400ms");
    gate.open();
    await cluster.advance("1 minute");
    await Promise.all([placed, restarted]);
    expect(handled).toEqual(["first", "second"]);
  });

  it("does not overtake what was accepted before for the same entity, and is read by its next owner", async () => {
    const [gate, reading] = [new Gate(), new Door()];
    const handled: string[] = [];
    const order = Order.implement({
      place: async (_text: string, ctx: HandlerContext) => {
        const cart = ctx.entity(Cart, ctx.entityId);
        await cart.emptyKept.notify("first");
        await gate.passed;
        await cart.emptyKept.notify("second");
        return "placed";
      },
      placeKept: echo,
    });
    const note = (text: string): string => {
      handled.push(text);
      return text;
    };
    const cart = Cart.implement({ empty: note, emptyKept: note });
    await using cluster = await createTestCluster({
      runners: 2,
      shardsPerGroup: 2,
      register: [order, cart],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readPending(...args) {
            await reading.passed();
            return messages.readPending(...args);
          },
        },
      })),
    });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    reading.close();
    const restarted = cluster.restart(1);
    await cluster.advance("10s");
    const placed = cluster.entity(Order, "u2").place("");
    await cluster.advance("1s");
    void cluster.runners[1]?.shutdown();
    // It waits for what storage has of its shard, for a while.
    await cluster.advance("5s");
    gate.open();
    await cluster.advance("1s");
    reading.open();
    await cluster.advance("1 minute");
    await restarted;
    await expect(placed).resolves.toBe("placed");
    expect(handled).toEqual(["first", "second"]);
  });

  it("does not overtake what waited behind another handler, and was put back", async () => {
    const [gate, slow] = [new Gate(), new Gate()];
    const handled: string[] = [];
    const order = Order.implement({
      place: async (_text: string, ctx: HandlerContext) => {
        await gate.passed;
        await ctx.entity(Cart, ctx.entityId).emptyKept.notify("third");
        return "placed";
      },
      placeKept: echo,
    });
    const cart = Cart.implement({
      empty: echo,
      emptyKept: async (text) => {
        if (text === "first") await slow.passed;
        handled.push(text);
        return text;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart] });
    const placed = cluster.entity(Order, "u1").place("");
    await cluster.entity(Cart, "u1").emptyKept.notify("first");
    await cluster.entity(Cart, "u1").emptyKept.notify("second");
    await stopOwner(cluster);
    gate.open();
    await cluster.advance("1s");
    slow.open();
    await cluster.advance("1 minute");
    await expect(placed).resolves.toBe("placed");
    expect(handled).toEqual(["first", "second", "third"]);
  });

  it.each(["volatile", "persisted", "workflow"] as const)("tells and starts: %s", async (kind) => {
    const gate = new Gate();
    const told: string[] = [];
    const note = (text: string): string => {
      told.push(text);
      return text;
    };
    const order = Order.implement({
      place: async (_text: string, ctx: HandlerContext) => {
        await gate.passed;
        const cart = ctx.entity(Cart, ctx.entityId);
        if (kind === "volatile") await cart.empty.notify("told");
        else if (kind === "persisted") await cart.emptyKept.notify("told");
        else await ctx.workflow(Delivery).start(ctx.entityId);
        return "done";
      },
      placeKept: echo,
    });
    const cart = Cart.implement({ empty: note, emptyKept: note });
    const delivery = Delivery.implement({ execute: async () => void note("told") });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart, delivery] });
    const placed = cluster.entity(Order, "u1").place("");
    await stopOwner(cluster);
    gate.open();
    await cluster.advance("1 minute");
    await expect(placed).resolves.toBe("done");
    expect(told).toEqual(["told"]);
  });

  it("is not waited for by what others call on its shard: that is the next owner's", async () => {
    const [gate, hold] = [new Gate(), new Gate()];
    const order = Order.implement({
      place: async (text: string, ctx: HandlerContext) => {
        if (text === "") await hold.passed;
        else await gate.passed;
        return text === "" ? "held" : ctx.entity(Cart, text).empty("");
      },
      placeKept: echo,
    });
    const ran: boolean[] = [];
    const cart = Cart.implement({
      empty: async (_text: string, ctx: HandlerContext) => {
        await cluster.sleep(2_000);
        ran.push(ctx.signal.aborted);
        return "emptied";
      },
      emptyKept: echo,
    });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart] });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    const ids = Array.from({ length: 8 }, (_, n) => `${n}`);
    const held = Promise.allSettled(ids.map((id) => cluster.entity(Order, id).place("")));
    const asking = Promise.allSettled(ids.map((id) => cluster.entity(Order, `asks ${id}`).place(id)));
    await cluster.advance("100ms");
    const restarted = cluster.restart(1);
    while (cluster.runners[0]?.shardsOwned === 300) await cluster.advance("50ms");
    // Shortly before the handlers on those that move are cut.
    await cluster.advance("13s");
    gate.open();
    await cluster.advance("1 minute");
    hold.open();
    await Promise.all([asking, held, restarted]);
    expect(ran).toContain(false);
    expect(ran).not.toContain(true);
  });

  it("is cut in its time, and with it what it waits for", async () => {
    const gate = new Gate();
    const reasons: unknown[] = [];
    const order = Order.implement({
      place: afterwardsEmpties(gate),
      placeKept: echo,
    });
    const cart = Cart.implement({
      empty: (_text: string, ctx: HandlerContext) =>
        new Promise<string>((_resolve, reject) => {
          ctx.signal.addEventListener("abort", () => {
            reasons.push(ctx.signal.reason);
            reject(ctx.signal.reason as Error);
          });
        }),
      emptyKept: echo,
    });
    await using cluster = await createTestCluster({ runners: 2, register: [order, cart] });
    const placed = cluster.entity(Order, "u1").place("");
    await stopOwner(cluster);
    gate.open();
    const cut = expect(placed).rejects.toBeInstanceOf(InterruptedError);
    await cluster.advance("1 minute");
    await cut;
    expect(reasons).toEqual([expect.any(InterruptedError)]);
  });
});
