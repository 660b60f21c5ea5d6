// Steps that the body of an activity asks for: a replay, which does not run it, would miss them.

import {
  DefinitionError,
  defineEntity,
  defineWorkflow,
  rpc,
  WorkflowCancelledError,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });
const Part = defineWorkflow<string, string>({ name: "Part", key: (id) => id, hashKey: false });
const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>() } });
const part = Part.implement({ execute: async (ctx) => ctx.run("made", () => "made") });
const bank = Bank.implement({ charge: () => "charged" });

const STEPS: readonly (readonly [string, (ctx: WorkflowContext) => unknown])[] = [
  ["run", (ctx) => ctx.run("inner", () => 1)],
  ["sleep", (ctx) => ctx.sleep("1s")],
  ["signal", (ctx) => ctx.signal("go")],
  ["entity", (ctx) => ctx.entity(Bank, "1").charge()],
  ["child", (ctx) => ctx.child(Part).execute("p")],
  ["onCompensate", (ctx) => ctx.onCompensate("undo", () => undefined)],
  ["continueAsNew", (ctx) => ctx.continueAsNew("again")],
  ["now", (ctx) => ctx.now()],
  ["random", (ctx) => ctx.random()],
  ["uuid", (ctx) => ctx.uuid()],
  ["patched", (ctx) => ctx.patched("p")],
  ["setState", (ctx) => ctx.setState(1)],
  ["setAttributes", (ctx) => ctx.setAttributes({ a: 1 })],
];

describe("the body of an activity", () => {
  it.each(STEPS)("is refused a step of its execution: %s", async (_name, ask) => {
    const work = Work.implement({
      async execute(ctx) {
        const refused = await ctx.run("outer", async () => {
          // Also once it has awaited something.
          await Promise.resolve();
          try {
            return String(await ask(ctx));
          } catch (error) {
            return error instanceof DefinitionError ? error.message : String(error);
          }
        });
        await ctx.sleep("1 minute");
        return refused;
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [work, part, bank] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("2 minutes");
    await expect(handle.result()).resolves.toMatch(/inside of an activity.*in the code of execute/);
    expect((await handle.describe()).steps.map(({ name }) => name)).toEqual(["outer", "sleep"]);
  });

  it("is refused a child's result, and that child is still cancelled with its parent", async () => {
    const long = Part.implement({
      async execute(ctx) {
        await ctx.sleep("1h");
        return "slept";
      },
    });
    const work = Work.implement({
      async execute(ctx) {
        const child = await ctx.child(Part).start("p");
        await ctx.run("outer", async ({ workflow, executionId }) => {
          await expect(child.result()).rejects.toThrow(DefinitionError);
          await workflow(Work).get(executionId).cancel("no");
        });
        await ctx.sleep("1 minute");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [work, long] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("10s");
    await expect(handle.result()).rejects.toThrow(WorkflowCancelledError);
    expect(await cluster.workflow(Part).get("p").describe()).toMatchObject({ status: "cancelled" });
  });

  it("may cancel its own execution: what listens for that may ask for steps", async () => {
    const work = Work.implement({
      async execute(ctx) {
        ctx.cancelled.addEventListener("abort", () => ctx.setAttributes({ isCancelled: true }));
        await ctx.run("check", ({ workflow, executionId }) => workflow(Work).get(executionId).cancel("no"));
        await ctx.sleep("1 minute");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("2 minutes");
    await expect(handle.result()).rejects.toThrow(WorkflowCancelledError);
    expect(await handle.describe()).toMatchObject({ attributes: { isCancelled: true } });
  });

  it("may start other executions, which have steps of their own", async () => {
    const work = Work.implement({
      execute: (ctx) => ctx.run("outer", ({ workflow }) => workflow(Part).execute("p")),
    });
    await using cluster = await createTestCluster({ runners: 1, register: [work, part] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    await expect(handle.result()).resolves.toBe("made");
  });
});
