import {
  activity,
  defineEntity,
  defineWorkflow,
  JournalFullError,
  NonDeterminismError,
  query,
  rpc,
  WorkflowFailedError,
  type ExportedJournal,
  type Registration,
  type WorkflowImplementation,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { tampering } from "./tampering.ts";

/** Of the idempotency keys among these, all of one execution, what tells them apart. */
function placesOf(ids: readonly string[]): readonly string[] {
  const keys = ids.filter((id) => id.includes("/")).map((key) => key.split("/"));
  expect(new Set(keys.map(([execution]) => execution)).size).toBe(1);
  return keys.map(([, place]) => place ?? "");
}

describe("code that asks to continue as new and returns without waiting for it", () => {
  const Meter = defineWorkflow<{ reading: number; next?: unknown }, string>({
    name: "Meter",
    key: () => "m",
  });

  it("goes on with the next run, and what it returned counts for nothing", async () => {
    const meter = Meter.implement({
      async execute(ctx, { reading }) {
        await ctx.run("read", () => reading);
        if (reading < 3) void ctx.continueAsNew({ reading: reading + 1 });
        return `ended at ${reading}`;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [meter] });
    const handle = await cluster.workflow(Meter).start({ reading: 1 });
    await cluster.advance("1 second");
    expect(await handle.poll()).toBe("ended at 3");
    expect(await handle.describe()).toMatchObject({ status: "completed", continuations: 2 });
  });

  it("goes on with what it asked for first, where it asks twice", async () => {
    const meter = Meter.implement({
      async execute(ctx, { reading }) {
        if (reading > 1) return `ended at ${reading}`;
        void ctx.continueAsNew({ reading: 2 });
        return ctx.continueAsNew({ reading: 3 });
      },
    });
    await using cluster = await createTestCluster({ register: [meter] });
    const handle = await cluster.workflow(Meter).start({ reading: 1 });
    await cluster.advance("1 second");
    expect(await handle.poll()).toBe("ended at 2");
    expect(await handle.describe()).toMatchObject({ continuations: 1 });
  });

  it("fails where the next run cannot be given its input", async () => {
    const meter = Meter.implement({
      async execute(ctx, { reading }) {
        void ctx.continueAsNew({ reading: reading + 1, next: () => 1 });
        return "ended";
      },
    });
    await using cluster = await createTestCluster({ register: [meter] });
    const handle = await cluster.workflow(Meter).start({ reading: 1 });
    await cluster.advance("1 second");
    await expect(handle.result()).rejects.toThrow(/cannot be serialised: "next" is a function/);
  });
});

describe("an execution that continues as new", () => {
  const Count = defineWorkflow({
    name: "Count",
    input: z.object({ from: z.int(), to: z.int(), ids: z.array(z.string()).default([]) }),
    output: z.array(z.string()),
    key: () => "count",
    hashKey: false,
    signals: { more: z.int() },
    queries: { at: query({ output: z.int() }) },
  });
  const count = Count.implement({
    queries: { at: (state) => state ?? 0 },
    async execute(ctx, { from, to, ids }) {
      const id = await ctx.run("id", ({ idempotencyKey }) => idempotencyKey);
      ctx.setState(from);
      ctx.setAttributes({ [`at${from % 2}`]: from });
      await ctx.sleep("10s");
      const by = from % 3 === 2 ? await ctx.signal("more") : 1;
      if (from + by > to) return [...ids, id, ctx.uuid()];
      return ctx.continueAsNew({ from: from + by, to, ids: [...ids, id, ctx.uuid()] });
    },
  });

  it("goes on under its id with an empty journal, other keys and other chance; signals wait for the run that takes them", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [count] });
    const handle = await cluster.workflow(Count).start({ from: 0, to: 7 });
    await handle.signal("more", 1);
    await handle.signal("more", 2);
    await cluster.advance("25s");
    expect(await handle.describe()).toMatchObject({ continuations: 2, input: { from: 2 } });
    await cluster.crash(0);
    await cluster.advance("1 minute");
    await cluster.crash(1);
    await cluster.advance("2 minutes");
    const ids = await handle.result();
    expect(new Set(ids).size).toBe(ids.length);
    expect(placesOf(ids)).toEqual(["0", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0"]);
    const { steps, attributes, continuations } = await handle.describe();
    expect(continuations).toBe(6);
    expect(steps.map(({ kind }) => kind)).toEqual(["run", "state", "attributes", "sleep"]);
    expect(attributes).toEqual({ at0: 4, at1: 7 });
    await expect(handle.query("at")).resolves.toBe(7);
  });

  it.each([1, 2, 3, 4])("loses and doubles nothing under every fault, with seed %i", async (seed) => {
    await using cluster = await createTestCluster({ runners: 3, register: [count], seed });
    cluster.faults({
      drop: 0.03,
      delay: ["0ms", "30ms"],
      storageErrorBeforeCommit: 0.04,
      storageErrorAfterCommit: 0.04,
    });
    const sending = (async () => {
      const handle = await cluster.workflow(Count).start({ from: 0, to: 4 });
      const send = (): Promise<void> => handle.signal("more", 1, { idempotencyKey: "k" });
      await send().catch(send).catch(send);
      return handle;
    })();
    await cluster.advance("40s");
    await cluster.crash(seed % 3);
    await cluster.advance("2 minutes");
    cluster.faults({});
    await cluster.advance("2 minutes");
    const handle = await sending;
    expect(placesOf(await handle.result())).toEqual(["0", "1.0", "2.0", "3.0", "4.0"]);
  });
});

describe("a loop that starts a child in each run and awaits none", () => {
  const Invoice = defineWorkflow<{ id: string; takes: "1s" | "10 hours" }, void>({
    name: "Invoice",
    key: ({ id }) => id,
    hashKey: false,
  });
  const Plan = defineWorkflow<number, void>({ name: "Plan", key: () => "plan", hashKey: false });
  const register = [
    Invoice.implement({ execute: async (ctx, { takes }) => ctx.sleep(takes) }),
    Plan.implement({
      async execute(ctx, month) {
        await ctx.child(Invoice).start({ id: `${month}`, takes: month === 1 ? "10 hours" : "1s" });
        if (month > 1) await ctx.sleep("1 minute");
        return ctx.continueAsNew(month + 1);
      },
    }),
  ];
  const carried = ({ entries }: ExportedJournal): readonly string[] => {
    const event = entries.find(({ kind }) => kind === "continue")?.event;
    const { children } = JSON.parse(event?.type === "completed" ? event.value : "{}");
    return children.map(({ executionId }: { executionId: string }) => executionId);
  };

  it("carries those along that have not ended, and cancels them with it", async () => {
    await using cluster = await createTestCluster({ runners: 2, register });
    const handle = await cluster.workflow(Plan).start(1);
    await cluster.advance("20 minutes");
    const { continuations } = await handle.describe();
    expect(continuations).toBeGreaterThan(15);
    expect(carried(await handle.exportJournal())).toEqual(["1", `${continuations}`]);
    await handle.cancel();
    await cluster.advance("1 minute");
    const invoices = cluster.workflow(Invoice);
    expect(await invoices.get("1").describe()).toMatchObject({ status: "cancelled" });
    expect(await invoices.get("2").describe()).toMatchObject({ status: "completed" });
  });

  it("cancels them also where it is cancelled between two runs", async () => {
    let cancel: (() => Promise<void>) | null = null;
    await using cluster = await createTestCluster({
      runners: 2,
      register,
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async trimExecution(...args) {
            await workflows.trimExecution(...args);
            await cancel?.();
            cancel = null;
          },
        },
      })),
    });
    const handle = cluster.workflow(Plan).get("plan");
    cancel = () => handle.cancel();
    await cluster.workflow(Plan).start(1);
    await cluster.advance("3 minutes");
    expect(cancel).toBeNull();
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(await cluster.workflow(Invoice).get("1").describe()).toMatchObject({ status: "cancelled" });
  });
});

describe("a journal's limit", () => {
  it("fails an execution that asks for more, after a warning, and lets compensations run", async () => {
    const warned: string[] = [];
    const log: number[] = [];
    const logger = {
      debug: () => {},
      info: () => {},
      warn: (message: string) => void warned.push(message),
      error: () => {},
    };
    const Loop = defineWorkflow<number, void>({ name: "Loop", maxSteps: 10 });
    const loop = Loop.implement({
      activities: { step: activity(async (_ctx, n: number) => void log.push(n)) },
      async execute(ctx, steps) {
        ctx.onCompensate("undo", () => ctx.activities.step(-1));
        for (let n = 1; n <= steps; n += 1) await ctx.activities.step(n).catch(() => undefined);
      },
    });
    await using cluster = await createTestCluster({ register: [loop], logger });
    await cluster.workflow(Loop).execute(8);
    expect(warned.filter((message) => message.includes("continueAsNew"))).toEqual([]);
    await cluster.workflow(Loop).execute(10);
    expect(warned.filter((message) => message.includes("continueAsNew"))).toHaveLength(1);
    log.length = 0;
    const error = await cluster
      .workflow(Loop)
      .execute(11)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as Error).cause).toBeInstanceOf(JournalFullError);
    expect((error as Error).message).toMatch(/10 steps.*continueAsNew/s);
    expect(log).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1]);
  });
});

describe("a child that the journal's limit refuses", () => {
  it("keeps no cancelled execution waiting", async () => {
    const Child = defineWorkflow<string, string>({ name: "Child", key: (id) => id, hashKey: false });
    const Parent = defineWorkflow<string, void>({ name: "Parent", key: (id) => id, maxSteps: 3 });
    const parent = Parent.implement({
      async execute(ctx) {
        try {
          await ctx.sleep("1 hour");
        } finally {
          for (const id of ["a", "b", "c", "d"]) await ctx.child(Child).execute(id, { detached: false });
        }
      },
    });
    const child = Child.implement({ execute: async (_ctx, id) => id });
    await using cluster = await createTestCluster({ register: [parent, child] });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    await handle.cancel("enough");
    const ended = handle.result().catch((error: unknown) => error);
    await cluster.advance("1 minute");
    expect(await ended).toBeInstanceOf(WorkflowFailedError);
  });
});

describe("code that changes under running executions", () => {
  const Trip = defineWorkflow<string, string[]>({ name: "Trip", key: (id) => id, hashKey: false });
  const version = (steps: readonly string[], patch?: string): WorkflowImplementation =>
    Trip.implement({
      async execute(ctx) {
        const done: string[] = [];
        for (const step of steps) {
          if (patch !== undefined && step === steps[1] && ctx.patched(patch))
            done.push(await ctx.run("patched", () => "new"));
          done.push(await ctx.run(step, () => step));
          await ctx.sleep("1 minute");
        }
        return done;
      },
    });

  /** Runners, and what gives them other code. */
  async function running(first: WorkflowImplementation, ...others: Registration[]) {
    let code = first;
    const register = [{ ...first, bind: (services: never) => code.bind(services) }, ...others];
    const cluster = await createTestCluster({ runners: 2, register });
    const deploy = async (next: WorkflowImplementation): Promise<void> => {
      code = next;
      for (const index of [0, 1]) {
        await cluster.crash(index);
        await cluster.restart(index);
      }
    };
    return { cluster, deploy, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  }

  it("waits, visibly, with its journal as it was, and goes on when fixed code is there", async () => {
    await using test = await running(version(["a", "b"]));
    const { cluster, deploy } = test;
    const handle = await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    const { steps } = await handle.describe();
    await deploy(version(["x", "b"]));
    await cluster.advance("2 minutes");
    const parked = await handle.describe();
    expect(parked.steps).toEqual(steps);
    expect(parked.status).toBe("suspended");
    expect(parked.waitsForCode).toMatch(/step 0.*run "a".*run "x"/s);
    const served = [0, 1].map((index) => cluster.health(index).checks.served);
    expect(served.filter(({ ok }) => !ok)).toEqual([
      { ok: false, detail: expect.stringContaining("Trip/t") },
    ]);
    await deploy(version(["a", "b"]));
    await cluster.advance("3 minutes");
    await expect(handle.result()).resolves.toEqual(["a", "b"]);
  });

  it("fails those who wait for its end, who have its result once fixed code is there", async () => {
    await using test = await running(version(["a", "b"]));
    const { cluster, deploy } = test;
    const handle = await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    await deploy(version(["x", "b"]));
    const divergence = { executionId: "t", position: 0, recorded: 'run "a"', asked: 'run "x"' };
    const waiting = Promise.allSettled([handle.result(), cluster.workflow(Trip).execute("t")]);
    await cluster.advance("1 minute");
    for (const outcome of await waiting)
      expect(outcome).toMatchObject({ status: "rejected", reason: divergence });
    // While it waits, and while it looks again.
    for (let more = 0; more < 30; more += 1) {
      const again = cluster.workflow(Trip).execute("t");
      const error = again.catch((reason: unknown) => reason);
      await cluster.advance("700ms");
      expect(await error).toBeInstanceOf(NonDeterminismError);
    }
    await expect(handle.poll()).resolves.toBeUndefined();
    await deploy(version(["a", "b"]));
    const result = handle.result();
    await cluster.advance("3 minutes");
    await expect(result).resolves.toEqual(["a", "b"]);
  });

  it.each(["looks by itself", "begins meanwhile", "is woken beside it", "has work of its own"])(
    "is nothing that a parent would have to live with, where that %s",
    async (how) => {
      const undone: string[] = [];
      const Parent = defineWorkflow<string, string[]>({ name: "Parent", key: (id) => id });
      const parent = Parent.implement({
        async execute(ctx) {
          ctx.onCompensate("undo", () => void undone.push("undone"));
          const child = ctx.child(Trip).execute("t");
          if (how === "is woken beside it") await Promise.race([child, ctx.sleep("3 minutes")]);
          if (how === "has work of its own") await ctx.run("long", () => cluster.sleep(240_000));
          return child;
        },
      });
      await using test = await running(version(["a", "b"]), parent);
      const { cluster, deploy } = test;
      const start = () => cluster.workflow(Parent).start("p");
      if (how === "begins meanwhile") await cluster.workflow(Trip).start("t");
      else await start();
      await cluster.advance("5s");
      await deploy(version(["x", "b"]));
      const handle = await start();
      await cluster.advance(how === "looks by itself" ? "90 minutes" : "5 minutes");
      expect(["running", "suspended"]).toContain((await handle.describe()).status);
      await deploy(version(["a", "b"]));
      await cluster.advance("10 minutes");
      await expect(handle.result()).resolves.toEqual(["a", "b"]);
      expect(undone).toEqual([]);
    },
  );

  it("is nothing that a handler would have for its reply: that waits", async () => {
    const Desk = defineEntity({ name: "Desk", rpcs: { ask: rpc<void, string[]>({ persisted: true }) } });
    const desk = Desk.implement({ ask: (_input, ctx) => ctx.workflow(Trip).execute("t") });
    await using test = await running(version(["a", "b"]), desk);
    const { cluster, deploy } = test;
    await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    await deploy(version(["x", "b"]));
    const asked = cluster.entity(Desk, "1").ask();
    await cluster.advance("20s");
    await deploy(version(["a", "b"]));
    await cluster.advance("10 minutes");
    await expect(asked).resolves.toEqual(["a", "b"]);
  });

  it("is not what slow code is taken for: who waits for that goes on waiting", async () => {
    let gate: Promise<void> = Promise.resolve();
    let open = (): void => undefined;
    const slow = Trip.implement({
      async execute(ctx) {
        await gate;
        await ctx.run("a", () => 1);
        await ctx.sleep("1 minute");
        return ["done"];
      },
    });
    await using test = await running(slow);
    const { cluster, deploy } = test;
    const handle = await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    gate = new Promise((resolve) => (open = resolve));
    await deploy(slow);
    const result = handle.result();
    await cluster.advance("70s");
    open();
    await cluster.advance("2 minutes");
    await expect(result).resolves.toEqual(["done"]);
  });

  it("runs a patch in new executions, and not in those that have passed its place; later the call can go", async () => {
    await using test = await running(version(["a", "b", "c"]));
    const { cluster, deploy } = test;
    const trips = cluster.workflow(Trip);
    const old = await trips.start("old");
    await cluster.advance("70s");
    const before = await trips.start("before");
    await cluster.advance("5s");
    await deploy(version(["a", "b", "c"], "p1"));
    const fresh = await trips.start("fresh");
    await cluster.advance("100s");
    await expect((await trips.start("fresh")).executionId).toBe("fresh");
    // `fresh` has the patch in its journal; the code of now has its branch for good.
    const later = Trip.implement({
      async execute(ctx) {
        const done: string[] = [];
        for (const step of ["a", "b", "c"]) {
          if (step === "b") done.push(await ctx.run("patched", () => "new"));
          done.push(await ctx.run(step, () => step));
          await ctx.sleep("1 minute");
        }
        return done;
      },
    });
    await cluster.advance("2 minutes");
    await expect(old.result()).resolves.toEqual(["a", "b", "c"]);
    await expect(before.result()).resolves.toEqual(["a", "new", "b", "c"]);
    await deploy(later);
    await cluster.advance("5 minutes");
    await expect(fresh.result()).resolves.toEqual(["a", "new", "b", "c"]);
  });

  it("goes on with the code of its version, and waits where that is not to be had", async () => {
    const first = defineWorkflow<string, string>({
      name: "Versioned",
      key: (id) => id,
      hashKey: false,
      version: "1",
    });
    const second = defineWorkflow<string, string>({
      name: "Versioned",
      key: (id) => id,
      hashKey: false,
      version: "2",
    });
    const one = first.implement({
      async execute(ctx) {
        await ctx.sleep("1 minute");
        return ctx.run("one", () => "by version 1");
      },
    });
    const two = { execute: async () => "by version 2" };
    await using test = await running(one);
    const { cluster, deploy } = test;
    const handle = await cluster.workflow(first).start("a");
    await cluster.advance("5s");
    await deploy(second.implement(two));
    await cluster.advance("2 minutes");
    const waiting = await handle.describe();
    expect(waiting).toMatchObject({ status: "suspended", version: "1" });
    expect(waiting.waitsForCode).toMatch(/version 1.*has 2/s);
    const result = handle.result();
    await expect(cluster.workflow(second).execute("b")).resolves.toBe("by version 2");
    await deploy(
      second.implement({
        ...two,
        versions: {
          "1": async (ctx) => {
            await ctx.sleep("1 minute");
            return ctx.run("one", () => "by version 1");
          },
        },
      }),
    );
    await cluster.advance("2 minutes");
    await expect(result, "also who waited meanwhile").resolves.toBe("by version 1");
  });
});
