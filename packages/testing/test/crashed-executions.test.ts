// Executions whose runner crashes while some of their steps are under way: the next copy knows what the one before had sent.

import { activity, defineEntity, defineWorkflow, rpc, type WorkflowContext } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { notWritten, tampering } from "./tampering.ts";

const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });
const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<string, string>({ persisted: true }) } });

describe("a call beside a step that fails at once in the next copy, and had not in the one before", () => {
  const codes: Record<string, (ctx: WorkflowContext, check: () => Promise<unknown>) => Promise<unknown>> = {
    "asked for at the beginning": (ctx, check) => Promise.allSettled([check(), charge(ctx)]),
    "asked for a moment later": (ctx, check) =>
      Promise.allSettled([check(), later().then(() => charge(ctx))]),
    "that follows what is recorded": (ctx, check) =>
      Promise.allSettled([
        check(),
        ctx
          .run("quote", () => 1)
          .then(() => Promise.all([ctx.sleep("1 day"), later().then(() => charge(ctx))])),
      ]),
  };

  it.each(Object.entries(codes))("%s: is the same request", async (_, code) => {
    let isDown = false;
    const handled: string[] = [];
    const bank = Bank.implement({
      async charge(what, ctx) {
        handled.push(`${what} ${ctx.requestId}`);
        if (!isDown) await new Promise(() => undefined);
        return "receipt";
      },
    });
    const work = Work.implement({
      async execute(ctx) {
        await code(ctx, () =>
          ctx.run("check", async () => {
            if (isDown) throw new Error("down");
            await new Promise(() => undefined);
          }),
        );
        return "done";
      },
    });
    await using cluster = await createTestCluster({ register: [bank, work], runners: 1 });
    await cluster.workflow(Work).start("1");
    await cluster.advance("1s");
    expect(handled).toHaveLength(1);
    await cluster.crash(0);
    isDown = true;
    await cluster.restart(0);
    await cluster.advance("1 minute");
    expect(handled.length, "its handler was begun again").toBeGreaterThan(1);
    expect(new Set(handled)).toHaveLength(1);
  });
});

describe("a call whose reply is not recorded when its runner crashes", () => {
  it.each([undefined, null])("is the same request, also where its options are %s", async (given) => {
    const handled: string[] = [];
    const bank = Bank.implement({
      charge(what) {
        handled.push(what);
        return "receipt";
      },
    });
    const options = { idempotencyKey: given, uninterruptible: undefined } as object;
    const work = Work.implement({
      async execute(ctx) {
        await ctx.entity(Bank, "1").charge("a sale", options);
        await ctx.sleep("1 minute");
        return "done";
      },
    });
    let isUp = false;
    await using cluster = await createTestCluster({
      register: [bank, work],
      runners: 1,
      tamper: tampering(({ workflows }) => ({
        workflows: {
          appendJournal: (...args) =>
            isUp ? workflows.appendJournal(...args) : new Promise(() => undefined),
        },
      })),
    });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1s");
    expect(handled).toEqual(["a sale"]);
    await cluster.crash(0);
    isUp = true;
    await cluster.restart(0);
    await cluster.advance("5 minutes");
    await expect(handle.result()).resolves.toBe("done");
    expect(handled).toEqual(["a sale"]);
  });
});

function charge(ctx: WorkflowContext): Promise<string> {
  return ctx.entity(Bank, "1").charge("a sale");
}

/** Some turns of the microtask queue. */
async function later(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

describe("an execution whose storage fails for a moment, now and then", () => {
  /** Storage that takes nothing while it is down. */
  function fallible() {
    const storage = { isDown: false };
    const refused = (operation: string): Promise<never> => Promise.reject(notWritten(operation));
    const tamper = tampering(({ workflows, messages }) => ({
      workflows: {
        appendJournal: (...given) =>
          storage.isDown ? refused("appendJournal") : workflows.appendJournal(...given),
        trimExecution: (...given) =>
          storage.isDown ? refused("trimExecution") : workflows.trimExecution(...given),
      },
      messages: {
        reschedule: (...given) => (storage.isDown ? refused("reschedule") : messages.reschedule(...given)),
        recordAttempt: (...given) =>
          storage.isDown ? refused("recordAttempt") : messages.recordAttempt(...given),
      },
    }));
    return { storage, tamper };
  }

  it.each(["in one run", "over many runs"])(
    "outlives more failures than it has attempts, since it goes on from what is recorded between them: %s",
    async (how) => {
      const { storage, tamper } = fallible();
      const ofRun = how === "in one run" ? 40 : 1;
      const work = Work.implement({
        async execute(ctx, before) {
          for (let reading = 0; reading < ofRun; reading += 1) await ctx.signal("reading" as never);
          const readings = Number(before) + ofRun;
          return readings < 40 ? ctx.continueAsNew(String(readings)) : "read";
        },
      });
      await using cluster = await createTestCluster({
        register: [work],
        runners: 1,
        tamper,
        storageMessageMaxRetries: 2,
      });
      const handle = await cluster.workflow(Work).start("0");
      for (let reading = 0; reading < 45; reading += 1) {
        const sending = handle.signal("reading" as never);
        sending.catch(() => undefined);
        storage.isDown = reading % 8 === 7;
        // Often enough that it stays in memory, and its attempt goes on.
        await cluster.advance(200);
        storage.isDown = false;
        await cluster.advance(300);
      }
      await cluster.advance("1 minute");
      await expect(handle.result()).resolves.toBe("read");
    },
  );

  it("becomes a dead letter if nothing of it can be recorded any more", async () => {
    const tamper = tampering(() => ({
      workflows: { appendJournal: () => Promise.reject(notWritten("appendJournal")) },
    }));
    const work = Work.implement({
      async execute(ctx) {
        await ctx.run("step", () => 1);
        return "done";
      },
    });
    await using cluster = await createTestCluster({
      register: [work],
      runners: 1,
      tamper,
      storageMessageMaxRetries: 2,
    });
    const failed = expect(cluster.workflow(Work).execute("1")).rejects.toThrow("dead letter");
    await cluster.advance("1 minute");
    await failed;
  });
});

describe("an activity that was at work for a while when its runner crashed", () => {
  it("is the same one to code that was patched before it", async () => {
    const keys: string[] = [];
    let isPatched = false;
    const work = Work.implement({
      activities: {
        check: activity(async () => "checked"),
        charge: activity(async (ctx) => {
          keys.push(ctx.idempotencyKey);
          if (!isPatched) await new Promise(() => undefined);
          return "receipt";
        }),
      },
      async execute(ctx) {
        if (isPatched && ctx.patched("check first")) await ctx.activities.check();
        return ctx.activities.charge();
      },
    });
    await using cluster = await createTestCluster({ register: [work], runners: 1 });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("10s");
    await cluster.crash(0);
    isPatched = true;
    await cluster.restart(0);
    await cluster.advance("1 minute");
    expect(await handle.poll()).toBe("receipt");
    expect(keys).toEqual([keys[0], keys[0]]);
  });
});
