// What a workflow's code does with a step besides awaiting it: nothing at all, naming it, giving it objects that change.

import {
  activity,
  ConfigError,
  DefinitionError,
  defineEntity,
  defineWorkflow,
  rpc,
  WorkflowFailedError,
  type ActivityContext,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const Work = defineWorkflow<string, unknown>({
  name: "Work",
  key: (id) => id,
  hashKey: false,
  signals: { go: undefined as never },
});
const Child = defineWorkflow<string, string>({ name: "Child", key: (id) => id, hashKey: false });
const Unserved = defineWorkflow<string, void>({ name: "Unserved", key: (id) => id });
const Desk = defineEntity({ name: "Desk", rpcs: { fail: rpc<void, void>({ persisted: true }) } });
const child = Child.implement({
  async execute(ctx, id) {
    if (id === "fails") throw new Error("told to");
    await ctx.sleep("1 hour");
    return id;
  },
});
const desk = Desk.implement({
  fail() {
    throw new Error("told to");
  },
});

async function running(code: (ctx: WorkflowContext) => Promise<unknown>) {
  const work = Work.implement({ execute: (ctx) => code(ctx as never) });
  const cluster = await createTestCluster({ register: [work, child, desk] });
  const handle = await cluster.workflow(Work).start("1");
  await cluster.advance("10s");
  return { cluster, handle, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

describe("a step that nobody awaits", () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  beforeEach(() => {
    unhandled.length = 0;
    process.on("unhandledRejection", note);
  });
  afterEach(() => {
    process.off("unhandledRejection", note);
  });

  it.each<[string, (ctx: WorkflowContext) => unknown]>([
    ["a sleep", (ctx) => ctx.sleep("1 day")],
    ["a sleep until a date", (ctx) => ctx.sleepUntil(new Date(Date.UTC(2031, 0)))],
    ["a signal", (ctx) => ctx.signal("go", { timeout: "1s" })],
    ["an inline activity", (ctx) => ctx.run("fails", () => Promise.reject(new Error("told to")))],
    ["a call", (ctx) => ctx.entity(Desk, "1").fail()],
    ["a child", (ctx) => ctx.child(Child).execute("fails")],
    ["a child's start", (ctx) => ctx.child(Unserved).start("1")],
    [
      "what a child is told, and its result",
      async (ctx) => {
        const started = await ctx.child(Child).start("fails");
        void started.result();
        void started.signal("go" as never);
        void started.cancel(5 as never);
      },
    ],
  ])("ends no process when it fails or is cancelled: %s", async (_what, begin) => {
    await using test = await running(async (ctx) => {
      void begin(ctx);
      await ctx.sleep("1 hour");
    });
    await test.handle.cancel("stop");
    await test.cluster.advance("10s");
    expect(await test.handle.describe()).toMatchObject({ status: "cancelled" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  });
});

describe("what an activity is given", () => {
  it("is its attempt's own: what a body does to it is seen neither by the next one nor by the workflow", async () => {
    const seen: unknown[] = [];
    const work = Work.implement({
      activities: {
        addTo: activity({ retries: 1 }, async (ctx: ActivityContext, list: number[], at: Date) => {
          list.push(1);
          seen.push([list.length, at instanceof Date]);
          if (ctx.attempt === 1) throw new Error("again");
        }),
      },
      async execute(ctx) {
        const list: number[] = [];
        await ctx.activities.addTo(list, new Date(0));
        if (list.length > 0) await ctx.run("only if it was filled", () => undefined);
        await ctx.sleep("1 hour");
        return list;
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    // It leaves memory for its sleep, and is replayed after it.
    await cluster.advance("2 hours");
    expect(await handle.poll()).toEqual([]);
    expect(seen).toEqual([
      [1, true],
      [1, true],
    ]);
  });

  it("is what it was when the activity was asked for", async () => {
    const work = Work.implement({
      activities: {
        read: activity({ retries: 1 }, async (ctx: ActivityContext, given: { n: number }) => {
          if (ctx.attempt === 1) throw new Error("again");
          return given.n;
        }),
      },
      async execute(ctx) {
        const given = { n: 1 };
        const reading = ctx.activities.read(given);
        given.n = 2;
        return reading;
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    expect(await handle.poll()).toBe(1);
  });

  it("is the very thing where it is of a class", async () => {
    class Account {
      readonly #balance = 5;
      balance(): number {
        return this.#balance;
      }
    }
    const account = new Account();
    const work = Work.implement({
      activities: {
        takes: activity(async (_ctx, given: Account) => given === account && given.balance() === 5),
      },
      execute: (ctx) => ctx.activities.takes(account),
    });
    await using cluster = await createTestCluster({ register: [work] });
    await expect(cluster.workflow(Work).execute("1")).resolves.toBe(true);
  });
});

describe("the name of a step", () => {
  it.each<[string, unknown]>([
    ["a number", 5],
    ["missing", undefined],
    ["with a NUL, which PostgreSQL keeps in no text", "a\0b"],
    ["with half of a character", "\ud800"],
  ])("is refused before anything is done where it is %s", async (_what, name) => {
    const done: string[] = [];
    await using test = await running(async (ctx) => {
      ctx.onCompensate("undo", () => void done.push("undone"));
      const refused: unknown[] = [];
      for (const ask of [
        () => ctx.run(name as string, () => done.push("run")),
        () => ctx.onCompensate(name as string, () => done.push("compensated")),
        () => ctx.patched(name as string),
      ]) {
        try {
          await ask();
        } catch (error) {
          refused.push(error instanceof ConfigError);
        }
      }
      if (refused.length === 3 && refused.every(Boolean)) throw new Error("all refused");
    });
    await expect(test.handle.result()).rejects.toThrow("all refused");
    expect(done).toEqual(["undone"]);
  });
});

describe("a compensation", () => {
  it("that registers another one does not have that run: it would undo what was undone", async () => {
    const done: string[] = [];
    await using test = await running(async (ctx) => {
      ctx.onCompensate("first", () => void done.push("first"));
      ctx.onCompensate("second", () => {
        done.push("second");
        ctx.onCompensate("of the second", () => void done.push("of the second"));
      });
      throw new Error("told to");
    });
    await expect(test.handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(done).toEqual(["second", "first"]);
  });
});

describe("an execution that asks for itself as its child", () => {
  it("is refused: it would wait for its own end", async () => {
    await using test = await running(async (ctx) => {
      const asked = [
        () => ctx.child(Work).execute("1"),
        async () => (await ctx.child(Work).start("1")).result(),
      ];
      const names: string[] = [];
      for (const ask of asked) await ask().catch((error: Error) => names.push(error.name));
      return names;
    });
    await expect(test.handle.result()).resolves.toEqual([DefinitionError.name, DefinitionError.name]);
  });
});

describe("nonRetryable", () => {
  it.each([[["AddressError"]], [AbortSignal], [[null]], [[() => Error]]])(
    "takes classes, and is refused with %o",
    (given) => {
      expect(() => activity({ nonRetryable: given as never }, async () => undefined)).toThrow(ConfigError);
    },
  );
});
