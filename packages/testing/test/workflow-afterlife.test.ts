// What comes after an end, or after a run: executions that are forked, continued, parked or forgotten.

import {
  ConfigError,
  defineEntity,
  defineWorkflow,
  query,
  rpc,
  UnknownExecutionError,
  WorkflowFailedError,
} from "@holdfast/core";
import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import { createTestCluster, replayWorkflow } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, notWritten, tampering } from "./tampering.ts";

const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });
/** The one execution of it is "runs"; its input is how many runs were before. */
const Runs = defineWorkflow<number, number>({ name: "Runs", key: () => "runs", hashKey: false });

describe("a fork", () => {
  it("has the state that its origin's run began with", async () => {
    const Loop = defineWorkflow({
      name: "Loop",
      input: z.number(),
      key: () => "1",
      hashKey: false,
      signals: { go: z.null() },
      queries: { state: query<void, unknown>() },
    });
    const loop = Loop.implement({
      queries: { state: (state) => state },
      async execute(ctx, round) {
        if (round === 1) {
          ctx.setState("of the first run");
          return ctx.continueAsNew(2);
        }
        await ctx.signal("go");
        ctx.setState("of the second run");
      },
    });
    await using cluster = await createTestCluster({ register: [loop] });
    const origin = await cluster.workflow(Loop).start(1);
    await origin.signal("go", null);
    await cluster.advance("1s");
    expect(await origin.query("state")).toBe("of the second run");
    const fork = await origin.fork({ fromStep: 0 });
    await cluster.advance("1s");
    expect(await fork.query("state")).toBe("of the first run");
    const another = await fork.fork({ fromStep: 0 });
    await cluster.advance("1s");
    expect(await another.query("state")).toBe("of the first run");
  });

  it("takes over nothing of a run that began after it was asked for", async () => {
    const done: string[] = [];
    const runs = Runs.implement({
      async execute(ctx, before) {
        await ctx.run("note", () => void done.push(`run ${before} of ${ctx.executionId}`));
        await ctx.signal("go");
        return ctx.continueAsNew(before + 1);
      },
    });
    const door = new Door();
    let reads = Number.NaN;
    await using cluster = await createTestCluster({
      register: [runs],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async readExecution(...args) {
            // The fork's caller looks first, and then the fork.
            if ((reads += 1) === 2) await door.passed();
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const origin = await cluster.workflow(Runs).start(0);
    await cluster.advance("1s");
    door.close();
    reads = 0;
    const forking = origin.fork({ fromStep: 1 });
    await cluster.advance("1s");
    const fork = await forking;
    await origin.signal("go", null);
    await cluster.advance("1s");
    expect(done).toEqual(["run 0 of runs", "run 1 of runs"]);
    door.open();
    await cluster.advance("1s");
    await expect(fork.result()).rejects.toThrow("has continued as new since it was forked. Fork it again.");
    expect(done).toHaveLength(2);
  });

  it("takes over nothing that its origin did once it was cancelled", async () => {
    const done: string[] = [];
    const work = Work.implement({
      async execute(ctx) {
        await ctx.run("order", () => void done.push("ordered"));
        await ctx.sleep("1 hour").catch(() => undefined);
        await ctx.run("clean up", () => void done.push("cleaned up"));
        return "over";
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const origin = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    await origin.cancel();
    await cluster.advance("5s");
    expect(done).toEqual(["ordered", "cleaned up"]);
    const refused = await origin.fork({ fromStep: 3 }).catch((reason: unknown) => reason);
    expect(refused).toBeInstanceOf(ConfigError);
    expect(refused).toMatchObject({ option: "fromStep" });
    await origin.fork({ fromStep: 2 });
    await cluster.advance("2 hours");
    expect(done).toEqual(["ordered", "cleaned up", "cleaned up"]);
  });

  it("can be of an execution that failed before its first step", async () => {
    let isBroken = true;
    const work = Work.implement({
      async execute() {
        if (isBroken) throw new TypeError("a slip");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1s");
    await expect(handle.result()).rejects.toThrow("a slip");
    isBroken = false;
    const fork = await handle.fork({ fromStep: 0 });
    await cluster.advance("1s");
    await expect(fork.result()).resolves.toBe("done");
  });

  it("has its id for its caller once it is durable, and not before", async () => {
    const work = Work.implement({ execute: async (ctx, id) => ctx.run("step", () => id) });
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [work],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(...args) {
            await door.passed();
            return messages.saveRequest(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Work).start("one");
    await cluster.advance("1s");
    door.close();
    const ids: string[] = [];
    const forking = handle
      .fork({ fromStep: 0, executionId: "two" })
      .then((fork) => ids.push(fork.executionId));
    await cluster.advance("1s");
    expect(ids).toEqual([]);
    door.open();
    await forking;
    expect(ids).toEqual(["two"]);
  });

  it("is refused the id of another execution, which stays as it is", async () => {
    const work = Work.implement({
      async execute(ctx, id) {
        await ctx.run("step", () => 1);
        return id;
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("one");
    const other = await cluster.workflow(Work).start("other");
    await cluster.advance("1s");
    const error = await handle.fork({ fromStep: 1, executionId: "other" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ option: "executionId" });
    await cluster.advance("1s");
    await expect(other.result()).resolves.toBe("other");
  });
});

describe("an execution that is a dead letter, and is dropped", () => {
  it("begins anew under its id: each step is done again, and no signal from before is taken", async () => {
    let isLost = false;
    const Sale = defineWorkflow({
      name: "Sale",
      input: z.string(),
      output: z.string(),
      key: () => "sale",
      hashKey: false,
      signals: { pay: z.string() },
    });
    const done: string[] = [];
    const sale = Sale.implement({
      async execute(ctx, of) {
        const number = await ctx.run("reserve", () => done.push(`reserve ${of}`));
        await ctx.setAttributes({ of });
        await ctx.sleep("10 minutes");
        const paid = await ctx.signal("pay");
        await ctx.run("ship", () => done.push(`ship ${of}`));
        return `${of} is number ${number}, paid by ${paid}`;
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [sale],
      storageMessageMaxRetries: 2,
      tamper: losing("workflow:Sale", () => isLost),
    });
    const handle = await cluster.workflow(Sale).start("first");
    await cluster.advance("1 minute");
    await handle.signal("pay", "ann");
    isLost = true;
    await cluster.advance("14 minutes");
    const [letter] = await cluster.deadLetters.list();
    expect(letter).toMatchObject({ entityType: "workflow:Sale", entityId: "sale", tag: "execute" });
    isLost = false;
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(true);
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(false);
    await expect(handle.describe()).rejects.toBeInstanceOf(UnknownExecutionError);

    const next = await cluster.workflow(Sale).start("second");
    await cluster.advance("1 minute");
    expect(done).toEqual(["reserve first", "reserve second"]);
    expect(await next.describe()).toMatchObject({ status: "suspended", attributes: { of: "second" } });
    await cluster.advance("14 minutes");
    await expect(next.poll(), "nobody has paid").resolves.toBeUndefined();
    await next.signal("pay", "bob");
    await cluster.advance("1 minute");
    await expect(next.poll()).resolves.toBe("second is number 2, paid by bob");
    expect(done).toEqual(["reserve first", "reserve second", "ship second"]);
    expect(await cluster.deadLetters.list()).toEqual([]);
  });

  it("leaves no signal behind whose reply could not be recorded, in the way of those of the next one", async () => {
    let isLost = false;
    let fails = false;
    const Sale = defineWorkflow({
      name: "Sale",
      input: z.string(),
      output: z.string(),
      key: () => "sale",
      hashKey: false,
      signals: { pay: z.string() },
    });
    const sale = Sale.implement({ execute: async (ctx, of) => `${of}, paid by ${await ctx.signal("pay")}` });
    await using cluster = await createTestCluster({
      register: [sale],
      storageMessageMaxRetries: 0,
      tamper: tampering(({ messages, workflows }) => ({
        messages: {
          async saveReply(...args) {
            if (fails) throw notWritten("saveReply");
            return messages.saveReply(...args);
          },
        },
        workflows: {
          async readExecution(...args) {
            if (isLost) throw notWritten("readExecution");
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Sale).start("first");
    await cluster.advance("10s");
    isLost = fails = true;
    await handle.signal("pay", "ann");
    await cluster.advance("1 minute");
    const [letter] = await cluster.deadLetters.list();
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(true);
    isLost = fails = false;
    await cluster.advance("1 minute");
    const next = await cluster.workflow(Sale).start("second");
    await next.signal("pay", "bob");
    await cluster.advance("10s");
    await expect(next.poll()).resolves.toBe("second, paid by bob");
  });

  it("is no entity whose rpc bears the same name: of that one the letter alone goes", async () => {
    const Task = defineEntity({
      name: "Task",
      rpcs: { execute: rpc<void, void>({ persisted: true }), add: rpc<string, number>({ persisted: true }) },
    });
    const added: string[] = [];
    const task = Task.implement({
      execute() {
        throw Object.assign(new Error("not yet"), { retryable: true });
      },
      add: (what) => added.push(what),
    });
    await using cluster = await createTestCluster({ register: [task], storageMessageMaxRetries: 1 });
    const add = (): Promise<number> => cluster.entity(Task, "t").add("a", { idempotencyKey: "once" });
    expect(await add()).toBe(1);
    const executed = cluster
      .entity(Task, "t")
      .execute()
      .catch((error: unknown) => error);
    await cluster.advance("1 minute");
    expect(await executed).toMatchObject({ code: "DEAD_LETTERED" });
    const [letter] = await cluster.deadLetters.list();
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(true);
    expect(await cluster.deadLetters.list()).toEqual([]);
    expect(await add(), "its answer is still known").toBe(1);
    expect(added).toEqual(["a"]);
  });
});

describe("an execution that goes on as new", () => {
  it("hears once of a cancellation that its code did not heed", async () => {
    const runs = Runs.implement({
      async execute(ctx, before) {
        if (before === 50) return before;
        await ctx.sleep("10 minutes").catch(() => undefined);
        return ctx.continueAsNew(before + 1);
      },
    });
    await using cluster = await createTestCluster({ register: [runs] });
    const handle = await cluster.workflow(Runs).start(0);
    await cluster.advance("1s");
    await handle.cancel();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "suspended", continuations: 1 });
    await cluster.advance("20 minutes");
    expect(await handle.describe()).toMatchObject({ status: "suspended", continuations: 3 });
  });

  it("takes a signal once that is sent again under its key to a later run", async () => {
    const taken: string[] = [];
    const Till = defineWorkflow({
      name: "Till",
      input: z.number(),
      output: z.number(),
      key: () => "till",
      hashKey: false,
      signals: { pay: z.string() },
    });
    const till = Till.implement({
      async execute(ctx, before) {
        const payment = await ctx.signal("pay");
        await ctx.run("take", () => void taken.push(payment));
        // The signal's own reply is recorded by the time this run is forgotten.
        await ctx.sleep("100ms");
        return ctx.continueAsNew(before + 1);
      },
    });
    await using cluster = await createTestCluster({ register: [till] });
    const handle = await cluster.workflow(Till).start(0);
    await cluster.advance("1s");
    for (let times = 0; times < 3; times += 1) {
      await handle.signal("pay", "seven", { idempotencyKey: "payment-7" });
      await cluster.advance("1s");
    }
    await handle.signal("pay", "eight", { idempotencyKey: "payment-8" });
    await cluster.advance("1s");
    expect(taken).toEqual(["seven", "eight"]);
  });

  it("is cancelled with the children of its earlier runs (D2)", async () => {
    const child = Work.implement({
      async execute(ctx) {
        await ctx.sleep("10 hours");
        return "awake";
      },
    });
    const runs = Runs.implement({
      async execute(ctx, before) {
        if (before === 2) await ctx.sleep("20 hours");
        else if (before === 0) await ctx.child(Work).start("c");
        return ctx.continueAsNew(before + 1);
      },
    });
    await using cluster = await createTestCluster({ register: [child, runs] });
    const handle = await cluster.workflow(Runs).start(0);
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({ continuations: 2 });
    await handle.cancel();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(await cluster.workflow(Work).get("c").describe()).toMatchObject({ status: "cancelled" });
  });
});

describe("a child that retention forgot", () => {
  const Brief = defineWorkflow<void, string>({
    name: "Brief",
    key: () => "c",
    hashKey: false,
    retention: "1 minute",
  });

  /** The parent waits for fixed code, while its child ends and is forgotten. */
  async function forgotten() {
    let charges = 0;
    let name = "right";
    const child = Brief.implement({
      async execute(ctx) {
        await ctx.sleep("5 minutes");
        await ctx.run("charge", () => void (charges += 1));
        return "charged";
      },
    });
    const parent = Work.implement({
      async execute(ctx) {
        await ctx.run(name, () => 1);
        return ctx.child(Brief).execute();
      },
    });
    const cluster = await createTestCluster({ register: [child, parent] });
    const handle = await cluster.workflow(Work).start("p");
    await cluster.advance("1 minute");
    name = "wrong";
    await cluster.advance("10 minutes");
    expect((await handle.describe()).waitsForCode).toContain("diverges at step 0");
    expect(charges).toBe(1);
    await expect(cluster.workflow(Brief).poll("c")).resolves.toBeUndefined();
    return {
      cluster,
      handle,
      charges: () => charges,
      mend: () => void (name = "right"),
      [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
    };
  }

  it("is not run again by a parent that waited for fixed code meanwhile", async () => {
    await using test = await forgotten();
    test.mend();
    await test.cluster.advance("10 minutes");
    const error = await test.handle.result().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error).toMatchObject({ cause: expect.any(UnknownExecutionError) });
    expect(test.charges()).toBe(1);
  });

  it("keeps nobody from its key where such a parent is cancelled", async () => {
    await using test = await forgotten();
    await test.handle.cancel();
    test.mend();
    while ((await test.handle.describe()).status !== "cancelled") await test.cluster.advance("1s");
    const next = await test.cluster.workflow(Brief).start();
    await test.cluster.advance("6 minutes");
    await expect(next.result()).resolves.toBe("charged");
    expect(test.charges()).toBe(2);
  });

  it("leaves the next execution of its key alone when its parent is cancelled", async () => {
    const child = Brief.implement({ execute: async () => "done" });
    const parent = Work.implement({
      async execute(ctx) {
        await ctx.child(Brief).start();
        await ctx.sleep("5 hours");
        return "awake";
      },
    });
    await using cluster = await createTestCluster({ register: [child, parent] });
    const handle = await cluster.workflow(Work).start("p");
    await cluster.advance("5 minutes");
    await expect(cluster.workflow(Brief).poll("c")).resolves.toBeUndefined();
    await handle.cancel();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    const next = await cluster.workflow(Brief).start();
    await cluster.advance("5s");
    await expect(next.result()).resolves.toBe("done");
  });

  it.each(["execute", "result"] as const)(
    "leaves the next execution of its key alone that goes on, where its parent had its end by %s()",
    async (how) => {
      const child = Brief.implement({
        async execute(ctx) {
          await ctx.sleep("5 minutes");
          return "done";
        },
      });
      const parent = Work.implement({
        async execute(ctx) {
          const brief = ctx.child(Brief);
          await (how === "execute" ? brief.execute() : brief.start().then((started) => started.result()));
          // In memory meanwhile: a copy that replays its end has started nothing.
          await ctx.run("work", () => cluster.sleep(600_000));
          return ctx.run("more", () => "all done");
        },
      });
      await using cluster = await createTestCluster({ register: [child, parent] });
      const handle = await cluster.workflow(Work).start("p");
      await cluster.advance("10 minutes");
      const next = await cluster.workflow(Brief).start();
      await cluster.advance("1 minute");
      await expect(next.poll(), "it goes on").resolves.toBeUndefined();
      await handle.cancel();
      await cluster.advance("270s");
      expect(await handle.describe()).toMatchObject({ status: "cancelled" });
      await expect(next.result()).resolves.toBe("done");
    },
  );
});

describe("a child whose result its parent's journal cannot hold", () => {
  it("fails the step, which the code may catch", async () => {
    class Money {
      readonly cents: number;

      constructor(cents: number) {
        this.cents = cents;
      }
    }
    const Priced = defineWorkflow({
      name: "Priced",
      output: z.number().transform((cents) => new Money(cents)),
    });
    const parent = Work.implement({
      async execute(ctx) {
        return ctx
          .child(Priced)
          .execute()
          .then(() => "was given it")
          .catch((error: unknown) => (error as Error).name);
      },
    });
    await using cluster = await createTestCluster({
      register: [Priced.implement({ execute: async () => 5 }), parent],
    });
    const handle = await cluster.workflow(Work).start("p");
    await cluster.advance("5s");
    await expect(handle.poll()).resolves.toBe("SerializationError");
  });
});

describe("replayWorkflow", () => {
  it("takes the journal of an execution that was cancelled while it waited for fixed code", async () => {
    let name = "right";
    const work = Work.implement({
      async execute(ctx) {
        await ctx.run(name, () => 1);
        await ctx.sleep("10 minutes");
        await ctx.sleep("10 minutes");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5 minutes");
    name = "wrong";
    await cluster.advance("10 minutes");
    expect((await handle.describe()).waitsForCode).toContain("diverges at step 0");
    await handle.cancel();
    await cluster.advance("5 minutes");
    const journal = await handle.exportJournal();
    name = "right";
    await expect(replayWorkflow(work, journal)).resolves.toEqual({ status: "waiting" });
  });
});

/** Storage in which the journals of a type cannot be read while `isLost`. */
function losing(entityType: string, isLost: () => boolean): (storage: OpenStorage) => OpenStorage {
  return (storage) => ({
    ...storage,
    workflows: new Proxy(storage.workflows, {
      get(target, property) {
        const method: unknown = Reflect.get(target, property, target);
        if (typeof method !== "function") return method;
        return (...args: [{ readonly entityType: string }, ...unknown[]]): unknown => {
          if (property === "readExecution" && isLost() && args[0].entityType === entityType)
            throw new PersistenceError({ operation: property, outcome: "not-written", detail: "told to" });
          return method.apply(target, args);
        };
      },
    }),
  });
}
