import {
  activity,
  ConfigError,
  defineActivityGroup,
  defineEntity,
  defineWorkflow,
  InterruptedError,
  InvalidInputError,
  RemoteError,
  rpc,
  UnknownExecutionError,
  WorkflowFailedError,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const Greet = defineWorkflow({
  name: "Greet",
  input: z.object({ id: z.string(), name: z.string() }),
  output: z.string(),
  key: ({ id }) => id,
});
const greet = Greet.implement({ execute: async (_ctx, { name }) => `Hello, ${name}` });

describe("a workflow's client", () => {
  it("is the only one of an execution, and its key is no option", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [greet] });
    expect(() => cluster.entityClient("workflow:Greet")).toThrow(ConfigError);
    expect(() => cluster.entityClient("workflow:Greet")).toThrow(/cluster\.workflow/);
    const options = { idempotencyKey: "mine" } as object;
    const greetings = cluster.workflow(Greet);
    await expect(greetings.start({ id: "1", name: "Ada" }, options)).rejects.toBeInstanceOf(ConfigError);
    await expect(greetings.execute({ id: "1", name: "Ada" }, options)).rejects.toBeInstanceOf(ConfigError);
    const handle = await greetings.start({ id: "1", name: "Ada" });
    await expect(handle.result(options)).rejects.toBeInstanceOf(ConfigError);
    await expect(handle.result()).resolves.toBe("Hello, Ada");
  });

  it("executes, and joins by the key: the first input is the one that counts", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [greet] });
    const greetings = cluster.workflow(Greet);
    await expect(greetings.execute({ id: "1", name: "Ada" })).resolves.toBe("Hello, Ada");
    await expect(greetings.execute({ id: "1", name: "Bob" })).resolves.toBe("Hello, Ada");
    await expect(greetings.execute({ id: "2", name: "Bob" })).resolves.toBe("Hello, Bob");
  });

  it("starts, and finds by the handle or the id", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [greet] });
    const greetings = cluster.workflow(Greet);
    const handle = await greetings.start({ id: "1", name: "Ada" });
    expect(handle.executionId).toBe(createHash("sha256").update("1").digest("hex"));
    await expect(handle.result()).resolves.toBe("Hello, Ada");
    await expect(handle.result()).resolves.toBe("Hello, Ada");
    await expect(handle.poll()).resolves.toBe("Hello, Ada");
    await expect(greetings.poll(handle.executionId)).resolves.toBe("Hello, Ada");
    await expect(greetings.get(handle.executionId).result()).resolves.toBe("Hello, Ada");
    await expect(greetings.execute({ id: "1", name: "again" })).resolves.toBe("Hello, Ada");
  });

  it("takes a key in place of the definition's, hashed or raw", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [greet] });
    const greetings = cluster.workflow(Greet);
    await expect(greetings.withKey("k").execute({ id: "1", name: "Ada" })).resolves.toBe("Hello, Ada");
    await expect(greetings.withKey("k").execute({ id: "2", name: "Bob" })).resolves.toBe("Hello, Ada");
    const handle = await greetings.withRawKey("raw/id").start({ id: "1", name: "Cy" });
    expect(handle.executionId).toBe("raw/id");
    await expect(greetings.get("raw/id").result()).resolves.toBe("Hello, Cy");
    expect((await greetings.withKey("k").start({ id: "1", name: "Dee" })).executionId).toMatch(
      /^[0-9a-f]{64}$/,
    );
  });

  it("polls undefined while it runs, and for an execution that nobody started", async () => {
    const Nap = defineWorkflow<{ id: string }, string>({ name: "Nap", key: ({ id }) => id });
    const nap = Nap.implement({
      async execute(ctx) {
        await ctx.sleep("1 minute");
        return "awake";
      },
    });
    await using cluster = await createTestCluster({ register: [nap] });
    const naps = cluster.workflow(Nap);
    await expect(naps.poll("unknown")).resolves.toBeUndefined();
    await expect(naps.get("unknown").result()).rejects.toThrow(UnknownExecutionError);
    const handle = await naps.start({ id: "1" });
    await expect(handle.poll()).resolves.toBeUndefined();
    const timedOut = expect(handle.result({ timeout: "1s" })).rejects.toThrow(
      /no reply within 1000 ms.*repeat it with the same key/u,
    );
    await cluster.advance("2s");
    await timedOut;
    await cluster.advance("2 minutes");
    await expect(handle.result(), "who stopped waiting did it no harm").resolves.toBe("awake");
  });

  it("advises who gave a signal no key not to count on one", async () => {
    const Told = defineWorkflow<void, void>({ name: "Told" });
    const told = Told.implement({ execute: (ctx) => ctx.signal("go") });
    await using cluster = await createTestCluster({ register: [told] });
    const handle = await cluster.workflow(Told).start();
    await cluster.advance("1s");
    cluster.faults({ drop: 1 });
    const timedOut = expect(handle.signal("go", "on", { timeout: "1s" })).rejects.toThrow(
      /or else only if that is harmless/,
    );
    await cluster.advance("10s");
    await timedOut;
  });

  it("refuses an input that the schema refuses, before anything is sent", async () => {
    await using cluster = await createTestCluster({ register: [greet] });
    const wrong = { id: 5, name: "Ada" } as unknown as { id: string; name: string };
    await expect(cluster.workflow(Greet).execute(wrong)).rejects.toThrow(InvalidInputError);
    await expect(cluster.workflow(Greet).start(wrong)).rejects.toThrow(/Greet.*id/s);
  });
});

describe("an execution's end with an error", () => {
  class OutOfStockError extends Error {
    override readonly name = "OutOfStockError";
    readonly productId: number;
    constructor(productId: number) {
      super(`Product ${productId} is out of stock`);
      this.productId = productId;
    }
  }

  it("is WorkflowFailedError, with what was thrown as its cause", async () => {
    const Failing = defineWorkflow<{ id: string }, void>({
      name: "Failing",
      key: ({ id }) => id,
      errors: [OutOfStockError],
    });
    const failing = Failing.implement({
      activities: {
        reserve: activity(async (_ctx, id: string) => {
          if (id === "listed") throw new OutOfStockError(7);
          throw new RangeError("no such product");
        }),
      },
      async execute(ctx, { id }) {
        await ctx.activities.reserve(id);
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [failing] });
    const failed = await cluster
      .workflow(Failing)
      .execute({ id: "other" })
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(WorkflowFailedError);
    expect(failed).toMatchObject({
      code: "WORKFLOW_FAILED",
      message: expect.stringContaining("no such product"),
    });
    expect((failed as Error).cause).toBeInstanceOf(RemoteError);
    expect((failed as Error).cause).toMatchObject({ name: "RangeError", message: "no such product" });

    const handle = await cluster.workflow(Failing).start({ id: "listed" });
    for (const ask of [
      () => handle.result(),
      () => handle.poll(),
      () => cluster.workflow(Failing).execute({ id: "listed" }),
    ]) {
      const error = await ask().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(WorkflowFailedError);
      expect((error as Error).cause).toBeInstanceOf(OutOfStockError);
      expect((error as Error).cause).toMatchObject({ productId: 7 });
    }
  });
});

describe("an execution", () => {
  const Sales = defineEntity({
    name: "Sales",
    rpcs: {
      add: rpc({ input: z.int(), persisted: true }),
      audit: rpc({ visibility: "protected", output: z.string() }),
    },
  });
  const Order = defineWorkflow({
    name: "Order",
    input: z.object({ id: z.string(), lines: z.array(z.int()) }),
    output: z.object({ reserved: z.array(z.string()), shipped: z.int(), tracking: z.string() }),
    key: ({ id }) => id,
    hashKey: false,
  });

  /** What happened outside, and the code that made it happen. */
  function shop() {
    const sold: string[] = [];
    const attempts = new Map<string, number>();
    const sales = Sales.implement({
      add(count, ctx) {
        sold.push(`${ctx.entityId} ${count}`);
      },
      audit: (_input, ctx) => `audit of ${ctx.entityId}`,
    });
    const Inventory = defineActivityGroup({
      name: "Inventory",
      activities: {
        reserve: activity(async (ctx, line: number) => {
          const key = ctx.idempotencyKey;
          attempts.set(key, (attempts.get(key) ?? 0) + 1);
          return `reservation of ${line}`;
        }),
      },
    });
    const order = Order.implement({
      groups: [Inventory],
      activities: {
        ship: activity({ retries: 5, initialInterval: "2s" }, async (ctx, id: string) => {
          if (ctx.attempt < 3) throw new Error("The carrier is closed");
          return `${id}-${ctx.attempt}`;
        }),
      },
      async execute(ctx, { id, lines }) {
        const reserved = await Promise.all(lines.map((line) => ctx.activities.reserve(line)));
        await ctx.sleep("10s");
        const tracking = await ctx.activities.ship(id);
        for (const line of lines) await ctx.entity(Sales, `product-${line}`).add(line);
        await ctx.entity(Sales, id).audit();
        const shipped = await ctx.run("count", () => lines.length);
        return { reserved, shipped, tracking };
      },
    });
    return { sold, attempts, register: [sales, order] };
  }
  const input = { id: "order-1", lines: [1, 2, 3] };
  const result = {
    reserved: ["reservation of 1", "reservation of 2", "reservation of 3"],
    shipped: 3,
    tracking: "order-1-3",
  };
  const sales = ["product-1 1", "product-2 2", "product-3 3"];

  it("runs groups, retries, sleeps and calls to its end", async () => {
    const { sold, attempts, register } = shop();
    await using cluster = await createTestCluster({ runners: 3, register });
    const execution = cluster.workflow(Order).execute(input);
    await cluster.advance("1 minute");
    await expect(execution).resolves.toEqual(result);
    expect(sold).toEqual(sales);
    expect([...attempts.values()]).toEqual([1, 1, 1]);
  });

  it.each([
    ["at once", 0],
    ["while it sleeps", 5_000],
    ["between attempts", 11_000],
    ["between later attempts", 13_500],
    ["while it calls", 16_010],
  ])("goes on elsewhere when its owner crashes %s, and each call is made once", async (_when, afterMs) => {
    for (const owner of [0, 1, 2]) {
      const { sold, register } = shop();
      await using cluster = await createTestCluster({ runners: 3, register, seed: owner + 1 });
      const execution = cluster.workflow(Order).execute(input);
      await cluster.advance(afterMs);
      await cluster.crash(owner);
      await cluster.advance("2 minutes");
      await expect(execution).resolves.toEqual(result);
      expect(sold).toEqual(sales);
    }
  });

  it("goes on when every runner crashes and comes back", async () => {
    const { sold, register } = shop();
    await using cluster = await createTestCluster({ runners: 2, register });
    const handle = await cluster.workflow(Order).start(input);
    await cluster.advance("3s");
    await cluster.crash(0);
    await cluster.crash(1);
    await cluster.advance("1 hour");
    await expect(handle.poll()).resolves.toBeUndefined();
    await Promise.all([cluster.restart(0), cluster.restart(1)]);
    await cluster.advance("1 minute");
    await expect(handle.result()).resolves.toEqual(result);
    expect(sold).toEqual(sales);
  });

  it("moves with its shard when its owner shuts down in order", async () => {
    const { sold, register } = shop();
    await using cluster = await createTestCluster({ runners: 3, register });
    const executions = Array.from({ length: 12 }, (_, n) =>
      cluster.workflow(Order).execute({ ...input, id: `order-${n}` }),
    );
    await cluster.advance("11s");
    const leaving = cluster.runners[0]?.shutdown();
    await cluster.advance("1 minute");
    await leaving;
    const results = await Promise.all(executions);
    expect(results.map(({ tracking }) => tracking)).toEqual(executions.map((_, n) => `order-${n}-3`));
    expect(sold.toSorted()).toEqual(executions.flatMap(() => sales).toSorted());
  });

  it.each([1, 2, 3, 4, 5, 6])("comes out right under every fault at once, with seed %i", async (seed) => {
    const { sold, register } = shop();
    await using cluster = await createTestCluster({ runners: 3, register, seed });
    cluster.faults({
      drop: 0.03,
      duplicate: 0.03,
      delay: ["0ms", "30ms"],
      storageErrorBeforeCommit: 0.03,
      storageErrorAfterCommit: 0.03,
    });
    const executions = Array.from({ length: 10 }, (_, n) =>
      cluster.workflow(Order).execute({ ...input, id: `order-${n}` }),
    );
    await cluster.advance("12s");
    await cluster.crash(seed % 3);
    await cluster.advance("1 minute");
    await cluster.restart(seed % 3);
    await cluster.advance("5 minutes");
    cluster.faults({});
    await cluster.advance("1 minute");
    const results = await Promise.all(executions);
    expect(results.map(({ shipped }) => shipped)).toEqual(executions.map(() => 3));
    expect(sold.toSorted()).toEqual(executions.flatMap(() => sales).toSorted());
  });

  it("gives code that takes a turn of its own the same results in the same order when it is replayed", async () => {
    const Race = defineWorkflow<{ id: string }, string>({ name: "Race", key: ({ id }) => id });
    const winners = new Map<string, string[]>();
    const race = Race.implement({
      activities: { work: activity(async (_ctx, text: string) => text) },
      async execute(ctx, { id }) {
        const own = new Promise<string>((resolve) => setImmediate(() => resolve("own")));
        const winner = await Promise.race([own, ctx.activities.work("step")]);
        winners.set(id, [...(winners.get(id) ?? []), winner]);
        await ctx.sleep("1 hour");
        return winner;
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [race] });
    const ids = Array.from({ length: 30 }, (_, n) => `${n}`);
    const handles = await Promise.all(ids.map((id) => cluster.workflow(Race).start({ id })));
    await cluster.advance("2 hours");
    await Promise.all(handles.map((handle) => handle.result()));
    for (const id of ids) expect(winners.get(id)).toEqual(["own", "own"]);
  });

  it("leaves memory with its end, and does not stay where it is started again", async () => {
    const Quick = defineWorkflow<{ id: string }, string>({ name: "Quick", key: ({ id }) => id });
    const quick = Quick.implement({
      activities: { work: activity(async (_ctx, text: string) => text) },
      execute: (ctx, { id }) => ctx.activities.work(id),
    });
    await using cluster = await createTestCluster({ runners: 1, register: [quick] });
    const ids = Array.from({ length: 20 }, (_, n) => `${n}`);
    await expect(Promise.all(ids.map((id) => cluster.workflow(Quick).execute({ id })))).resolves.toEqual(ids);
    await Promise.all(ids.map((id) => cluster.workflow(Quick).start({ id })));
    await cluster.advance("1ms");
    const { activations, evictions, activeEntities } = cluster.runners[0]?.metrics.snapshot() ?? {};
    expect(activeEntities).toBe(0);
    expect(activations).toBeGreaterThanOrEqual(20);
    expect(evictions).toBe(activations);
  });

  it("leaves memory while it sleeps, two hundred of them too", async () => {
    const Nap = defineWorkflow<{ id: string }, string>({ name: "Nap", key: ({ id }) => id });
    const nap = Nap.implement({
      async execute(ctx, { id }) {
        await ctx.sleep("1 hour");
        return id;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [nap] });
    const naps = cluster.workflow(Nap);
    const handles = await Promise.all(Array.from({ length: 200 }, (_, n) => naps.start({ id: `${n}` })));
    await cluster.advance("59 minutes");
    expect(cluster.runners.map((runner) => runner.metrics.snapshot()["activeEntities"])).toEqual([0, 0]);
    expect(
      (await Promise.all(handles.map((handle) => handle.poll()))).every((each) => each === undefined),
    ).toBe(true);
    await cluster.advance("2 minutes");
    await expect(Promise.all(handles.map((handle) => handle.poll()))).resolves.toEqual(
      handles.map((_, n) => `${n}`),
    );
  });
});

describe("an execution whose call was answered with an error that says it may be repeated", () => {
  it("fails with it: the answer is recorded, and would be the same for ever", async () => {
    let calls = 0;
    const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });
    const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>({ persisted: true }) } });
    const bank = Bank.implement({
      charge() {
        calls += 1;
        throw new InterruptedError({ what: "Another call", why: "its shard moved", retryable: true });
      },
    });
    const work = Work.implement({ execute: (ctx) => ctx.entity(Bank, "1").charge() });
    await using cluster = await createTestCluster({ register: [bank, work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({ status: "failed" });
    expect(calls).toBe(1);
  });

  it("also where the call is volatile, and the error a user's own", async () => {
    class Busy extends Error {
      readonly code = "BUSY";
      readonly retryable = true;
    }
    let calls = 0;
    const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });
    const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>({ errors: [Busy] }) } });
    const bank = Bank.implement({
      charge() {
        calls += 1;
        throw new Busy("come back");
      },
    });
    const work = Work.implement({
      execute: (ctx) =>
        ctx
          .entity(Bank, "1")
          .charge()
          .catch((error: unknown) => (error instanceof Busy ? error.message : "another error")),
    });
    await using cluster = await createTestCluster({ register: [bank, work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    expect(await handle.poll()).toBe("come back");
    expect(calls).toBe(1);
  });
});

describe("an error class that a definition lists", () => {
  it("arrives as itself in a workflow that calls the rpc or the child, live and replayed", async () => {
    class Busy extends Error {}
    const Bank = defineEntity({
      name: "Bank",
      rpcs: { charge: rpc<void, void>({ persisted: true, errors: [Busy] }) },
    });
    const Child = defineWorkflow<void, void>({ name: "Child", errors: [Busy] });
    const Work = defineWorkflow<string, string[]>({
      name: "Work",
      key: (id) => id,
      hashKey: false,
      // Another one by that name: who is called says which it is.
      errors: [Object.defineProperty(class extends Error {}, "name", { value: "Busy" })],
    });
    const busy = (): never => {
      throw new Busy("come back");
    };
    const bank = Bank.implement({ charge: busy });
    const child = Child.implement({ execute: async () => busy() });
    const work = Work.implement({
      async execute(ctx) {
        const seen = (what: string) => (error: unknown) => {
          const thrown = error instanceof WorkflowFailedError ? error.cause : error;
          return `${what}: ${thrown instanceof Busy}`;
        };
        const all = [
          await ctx.entity(Bank, "1").charge().then(String, seen("rpc")),
          await ctx.child(Child).execute().then(String, seen("child")),
        ];
        await ctx.sleep("1 hour");
        return all;
      },
    });
    await using cluster = await createTestCluster({ register: [bank, child, work] });
    const handle = await cluster.workflow(Work).start("1");
    // It leaves memory for its sleep.
    await cluster.advance("2 hours");
    expect(await handle.poll()).toEqual(["rpc: true", "child: true"]);
  });
});
