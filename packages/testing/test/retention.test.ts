// What is forgotten, and when.

import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { createTestCluster } from "../src/index.ts";
import { Door, notWritten, tampering } from "./tampering.ts";

const Counter = defineEntity({
  name: "Counter",
  rpcs: { add: rpc<undefined, number>({ persisted: true }) },
});
const Job = defineWorkflow<{ id: string }, number>({
  name: "Job",
  key: ({ id }) => id,
  hashKey: false,
  retention: "4 minutes",
});

describe("retention", () => {
  it("keeps answers and their keys for its time, and after it the key is new again", async () => {
    let runs = 0;
    const counter = Counter.implement({
      async add() {
        runs += 1;
        return runs;
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [counter],
      storagePollInterval: "5s",
      requestRetention: "4 minutes",
    });
    const add = (): Promise<number> =>
      cluster.entity(Counter, "a").add(undefined, { idempotencyKey: "once" });
    expect(await add()).toBe(1);
    await cluster.advance("3 minutes");
    expect(await add()).toBe(1);
    // Sweeps are a twentieth of the time apart, and half as much later at the most.
    await cluster.advance("2 minutes");
    expect(await add()).toBe(2);
  });

  it("forgets a finished execution with its journal, so that its key starts a new one, and no running one", async () => {
    let runs = 0;
    const job = Job.implement({
      async execute(ctx, { id }) {
        const run = await ctx.run("count", () => {
          runs += 1;
          return runs;
        });
        if (id === "long") await ctx.sleep("10 minutes");
        return run;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [job], storagePollInterval: "5s" });
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(1);
    await cluster.workflow(Job).start({ id: "long" });
    await cluster.advance("2 minutes");
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(1);
    await cluster.advance("5 minutes");
    expect(await cluster.workflow(Job).execute({ id: "short" })).toBe(3);
    await cluster.crash(0);
    await cluster.advance("4 minutes");
    // It began before and was never finished: its one activity ran once, and so did the wait.
    expect(await cluster.workflow(Job).execute({ id: "long" })).toBe(2);
    expect(runs).toBe(3);
  });

  it("starts nothing anew for who waited for a result that was forgotten meanwhile", async () => {
    const began: unknown[] = [];
    const heard: string[] = [];
    const job = Job.implement({
      async execute(ctx, input) {
        await ctx.run("begin", () => void began.push(input));
        await ctx.sleep("30s");
        return 1;
      },
    });
    const Asker = defineEntity({ name: "Asker", rpcs: { ask: rpc<string, void>() } });
    const asker = Asker.implement({
      async ask(id, ctx) {
        const result = ctx.workflow(Job).get(id).result();
        heard.push(await result.then(String, (error: Error) => error.name));
      },
    });
    await using cluster = await createTestCluster({ runners: 2, seed: 3, register: [job, asker] });
    const ids = ["0", "1", "2", "3", "4", "5"];
    for (const id of ids) {
      await cluster.workflow(Job).start({ id });
      await cluster.entity(Asker, id).ask.notify(id);
    }
    await cluster.advance("2s");
    // Who waits there asks again when it wakes up, for what has ended and is gone by then.
    await cluster.pause(1);
    await cluster.advance("10 minutes");
    await cluster.resume(1);
    await cluster.advance("1 minute");
    expect(heard).toContain("UnknownExecutionError");
    expect(new Set(heard)).toEqual(new Set(["1", "UnknownExecutionError"]));
    expect(began).toEqual(ids.map((id) => ({ id })));
    for await (const { executionId } of cluster.workflow(Job).list()) expect(executionId).toBe("none");
  });

  it("leaves nothing of an execution that the next one of its key would take for its own", async () => {
    const Ledger = defineEntity({ name: "Ledger", rpcs: { post: rpc<number, number>({ persisted: true }) } });
    const posted: number[] = [];
    const keys: string[] = [];
    const Part = defineWorkflow<number, number>({ name: "Part" });
    const part = Part.implement({ execute: async (_ctx, of) => of });
    const job = Job.implement({
      async execute(ctx) {
        const run = await ctx.run("count", ({ idempotencyKey }) => {
          keys.push(idempotencyKey);
          return keys.length;
        });
        keys.push(ctx.uuid());
        await ctx.entity(Ledger, "l").post(run);
        return (await ctx.child(Part).execute(run)) ?? 0;
      },
    });
    await using cluster = await createTestCluster({
      register: [job, part, Ledger.implement({ post: (n) => posted.push(n) })],
      storagePollInterval: "5s",
    });
    expect(await cluster.workflow(Job).execute({ id: "daily" })).toBe(1);
    await cluster.advance("5 minutes");
    // What it called is kept for ever.
    expect(await cluster.workflow(Job).execute({ id: "daily" })).toBe(3);
    expect(posted).toEqual([1, 3]);
    expect(new Set(keys).size).toBe(4);
  });

  it("is done in smaller batches where storage does not manage a large one", async () => {
    const job = Job.implement({ execute: async () => 1 });
    let forgotten = 0;
    await using cluster = await createTestCluster({
      register: [job],
      storagePollInterval: "5s",
      tamper: tampering(({ messages }) => ({
        messages: {
          async forgetAnswered(query) {
            if (query.limit > 2) throw notWritten("forgetAnswered");
            const count = await messages.forgetAnswered(query);
            forgotten += count;
            return count;
          },
        },
      })),
    });
    for (let n = 0; n < 5; n += 1) await cluster.workflow(Job).execute({ id: String(n) });
    await cluster.advance("20 minutes");
    expect(forgotten).toBe(5);
  });

  it("forgets in one go what there is, in batches that leave others some time, and that grow again", async () => {
    const batches: { readonly limit: number; readonly at: number }[] = [];
    await using cluster = await createTestCluster({
      register: [Job.implement({ execute: async () => 1 })],
      tamper: tampering(() => ({
        messages: {
          async forgetAnswered({ executionTag, limit }) {
            if (executionTag === undefined) return 0;
            batches.push({ limit, at: cluster.now() });
            // One that fails, and then five batches.
            if (batches.length === 1) throw notWritten("forgetAnswered");
            return batches.length < 7 ? limit : 0;
          },
        },
      })),
    });
    await cluster.advance("1 minute");
    const [failed, ...sweep] = batches.slice(0, 7);
    expect([failed, ...sweep].map((batch) => batch?.limit)).toEqual([500, 250, 500, 500, 500, 500, 500]);
    expect(new Set(sweep.map(({ at }) => at)).size).toBe(6);
    // The next sweep is seconds away.
    expect((sweep[5]?.at ?? 0) - (sweep[0]?.at ?? 0)).toBeLessThan(1_000);
  });

  it("finds nothing left of who had watched a child, and was forgotten before it ended", async () => {
    const Part = defineWorkflow<string, void>({ name: "Part", key: (id) => id, hashKey: false });
    const part = Part.implement({ execute: (ctx) => ctx.sleep("20 minutes") });
    const job = Job.implement({
      async execute(ctx, { id }) {
        await Promise.race([ctx.child(Part).execute(id, { detached: true }), ctx.sleep("1 minute")]);
        return 1;
      },
    });
    const saved: string[] = [];
    await using cluster = await createTestCluster({
      register: [job, part],
      storagePollInterval: "5s",
      tamper: tampering(({ messages }) => ({
        messages: {
          saveRequest(envelope, attempts, fence) {
            saved.push(envelope.tag);
            return messages.saveRequest(envelope, attempts, fence);
          },
        },
      })),
    });
    await cluster.workflow(Job).start({ id: "a" });
    await cluster.advance("30 minutes");
    expect(saved).toContain("watch");
    expect(saved).not.toContain("wake");
  });

  it("has a parent told of a child that was forgotten, although it could not look in time", async () => {
    const Part = defineWorkflow<string, string>({
      name: "Part",
      key: (id) => id,
      hashKey: false,
      retention: "1 minute",
    });
    const part = Part.implement({ execute: async (_ctx, id) => id });
    const Parent = defineWorkflow<string, string>({ name: "Parent", key: (id) => id, hashKey: false });
    const parent = Parent.implement({
      async execute(ctx, id) {
        const child = await ctx.child(Part).start(`part of ${id}`);
        await ctx.sleep("5 minutes");
        return child.result().catch((error: Error) => error.name);
      },
    });
    let looks = new Door();
    await using cluster = await createTestCluster({
      register: [part, parent],
      storagePollInterval: "5s",
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            const passed = looks.passed();
            // It is the first one that waits: the parent's own.
            looks.letPass();
            await passed;
            return messages.lookUpByKey(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("4 minutes");
    looks = new Door();
    looks.close();
    await cluster.advance("75s");
    looks.open();
    await cluster.advance("2 minutes");
    expect(await handle.poll()).toBe("UnknownExecutionError");
  });
});
