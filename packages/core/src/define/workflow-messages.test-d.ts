import { type } from "arktype";
import { describe, expectTypeOf, it } from "vitest";
import * as z from "zod";
import type { Cluster } from "../cluster/cluster.ts";
import type { ExecutionStatus } from "../data/execution-record.ts";
import { activity } from "./activity-group.ts";
import { query } from "./query.ts";
import type { WorkflowContext } from "./workflow-context.ts";
import { defineWorkflow, type ContextOf } from "./workflow.ts";

declare const cluster: Pick<Cluster, "workflow">;

const Request = z.object({ orderId: z.string() });
const Result = z.object({ orderId: z.string(), status: z.enum(["completed", "failed"]) });

const Ship = defineWorkflow({
  name: "Ship",
  input: Request,
  output: z.number(),
  key: ({ orderId }) => orderId,
});
const Order = defineWorkflow({
  name: "Order",
  input: Request,
  output: Result,
  key: (request) => request.orderId,
  hashKey: false,
  signals: { approved: z.object({ by: z.string() }), counted: z.string().transform(Number) },
  queries: {
    progress: query({ output: z.number() }),
    share: query({ input: z.object({ of: z.int() }), output: z.string() }),
    typed: query<{ n: number }, boolean>(),
  },
  retention: "7 days",
  version: "2",
  maxSteps: 500,
});

describe("a workflow with signals and queries", () => {
  it("takes signals of arktype, in TypeScript 5 and 6, too", () => {
    const Counted = defineWorkflow({
      name: "Counted",
      signals: { counted: type({ n: "string.numeric.parse" }), approved: z.object({ by: z.string() }) },
    });
    Counted.implement({
      async execute(ctx) {
        const { n } = await ctx.signal("counted", { timeout: "1s" });
        expectTypeOf(n).toEqualTypeOf<number>();
        const { by } = await ctx.signal("approved");
        expectTypeOf(by).toEqualTypeOf<string>();
      },
    });
    const handle = cluster.workflow(Counted).get("1");
    void handle.signal("counted", { n: "1" });
    // @ts-expect-error what is sent is text
    void handle.signal("counted", { n: 1 });
  });

  it("type-checks as the page of the API has it", () => {
    Order.implement({
      activities: { release: activity(async (_ctx, reservation: string) => void reservation) },
      queries: {
        progress: (state) => state.percent,
        share: (state, { of }) => {
          expectTypeOf(of).toEqualTypeOf<number>();
          return `${state.percent / of}`;
        },
        typed: async (_state, { n }) => n > 5,
      },
      async execute(ctx, request) {
        const { by } = await ctx.signal("approved", { timeout: "2 days" });
        expectTypeOf(by).toEqualTypeOf<string>();
        expectTypeOf(await ctx.signal("counted")).toEqualTypeOf<number>();
        // @ts-expect-error there is no such signal
        void (() => ctx.signal("aproved"));
        ctx.onCompensate("release", () => ctx.activities.release("r"));
        const child = await ctx.child(Ship).execute({ orderId: request.orderId });
        expectTypeOf(child).toEqualTypeOf<number>();
        const started = await ctx.child(Ship).start({ orderId: "1" }, { detached: true });
        expectTypeOf(await started.result()).toEqualTypeOf<number>();
        // @ts-expect-error a field is missing
        void (() => ctx.child(Ship).execute({}));
        expectTypeOf(ctx.now()).toEqualTypeOf<number>();
        expectTypeOf(ctx.patched("id")).toEqualTypeOf<boolean>();
        expectTypeOf(ctx.cancelled).toEqualTypeOf<AbortSignal>();
        ctx.setState({ percent: 5 });
        ctx.setAttributes({ tenant: "a", n: 5, vip: true, gone: null });
        // @ts-expect-error an attribute is plain
        void (() => ctx.setAttributes({ nested: {} }));
        // @ts-expect-error a field is missing
        void (() => ctx.continueAsNew({}));
        const anyHelper = (of: WorkflowContext): string => of.uuid();
        void anyHelper(ctx);
        if (by === "nobody") return ctx.continueAsNew({ orderId: "2" });
        return { orderId: request.orderId, status: "completed" };
      },
      versions: {
        "1": async (ctx, { orderId }) => {
          await ctx.activities.release(orderId);
          return { orderId, status: "failed" };
        },
      },
    });
  });

  it("answers queries on the inner side of their schemas, and is asked on the outer one", () => {
    const Clock = defineWorkflow({
      name: "Clock",
      queries: {
        at: query({
          input: z.string().transform(Number),
          output: z.number().transform((ms) => new Date(ms)),
        }),
      },
    });
    Clock.implement({
      execute: async () => undefined,
      queries: {
        at: (state, add) => {
          expectTypeOf(add).toEqualTypeOf<number>();
          return Number(state) + add;
        },
      },
    });
    const check = async (): Promise<void> => {
      expectTypeOf(await cluster.workflow(Clock).get("1").query("at", "5")).toEqualTypeOf<Date>();
    };
    expectTypeOf(check).toBeFunction();
    const Loose = defineWorkflow<string, void>({ name: "Loose", queries: { add: query<number, number>() } });
    expectTypeOf(() => cluster.workflow(Loose).get("1").query("add", 5)).toBeFunction();
  });

  it("must answer each of its queries", () => {
    const execute = async (): Promise<z.infer<typeof Result>> => ({ orderId: "", status: "failed" });
    // @ts-expect-error the queries are missing
    Order.implement({ execute });
    // @ts-expect-error `typed` is missing
    Order.implement({ execute, queries: { progress: () => 1, share: () => "x" } });
    // @ts-expect-error `progress` is a number
    Order.implement({ execute, queries: { progress: () => "1", share: () => "x", typed: () => true } });
    // @ts-expect-error the workflow has no queries
    Ship.implement({ execute: async () => 1, queries: { progress: () => 1 } });
  });

  it("takes no signals where none are defined", () => {
    Ship.implement({
      async execute(ctx) {
        // @ts-expect-error there are none
        void (() => ctx.signal("approved"));
        return 1;
      },
    });
    const Loose = defineWorkflow<string, void>({ name: "Loose", signals: { known: z.string() } });
    Loose.implement({
      async execute(ctx: WorkflowContext) {
        expectTypeOf(await ctx.signal("anything")).toEqualTypeOf<unknown>();
      },
    });
  });

  it("leaves open what a signal is where types are given as type arguments", () => {
    const Typed = defineWorkflow<string, string>({
      name: "Typed",
      signals: { approved: z.object({ by: z.string() }) },
    });
    Typed.implement({
      async execute(ctx) {
        const { by } = await ctx.signal("approved");
        return by;
      },
    });
  });
});

describe("the context of a workflow", () => {
  it("can be named for functions of one's own", () => {
    const activities = { add: activity(async (_ctx, n: number) => n + 1) };
    const helper = async (ctx: ContextOf<typeof Order, typeof activities>): Promise<string> => {
      expectTypeOf(await ctx.activities.add(1)).toEqualTypeOf<number>();
      return (await ctx.signal("approved")).by;
    };
    Order.implement({
      activities,
      queries: { progress: () => 1, share: () => "x", typed: () => true },
      execute: async (ctx) => ({ orderId: await helper(ctx), status: "completed" }),
    });
  });
});

describe("what may be left out", () => {
  const Idle = defineWorkflow({
    name: "Idle",
    input: z.string().optional(),
    output: z.string(),
    signals: { stop: z.void(), note: z.string().optional(), say: z.string() },
    queries: { words: query({ input: z.string().optional(), output: z.string() }) },
  });

  it("is an input or a payload that may be undefined, outside", () => {
    const check = async (): Promise<void> => {
      const idle = cluster.workflow(Idle);
      const h = await idle.start();
      expectTypeOf(await idle.execute()).toEqualTypeOf<string>();
      await idle.withKey("k").execute("word", { timeout: "1s" });
      await h.signal("stop");
      await h.signal("note");
      await h.signal("note", "word", { idempotencyKey: "k" });
      // @ts-expect-error the payload is missing
      await h.signal("say");
      expectTypeOf(await h.query("words")).toEqualTypeOf<string>();
      // @ts-expect-error the input is missing
      await cluster.workflow(Ship).start();
    };
    expectTypeOf(check).toBeFunction();
  });

  it("is the same in a workflow that has it for a child", () => {
    defineWorkflow<void, void>({ name: "Parent" }).implement({
      async execute(ctx) {
        const child = await ctx.child(Idle).start();
        await child.signal("stop");
        // @ts-expect-error the payload is missing
        void (() => child.signal("say"));
        expectTypeOf(await ctx.child(Idle).execute("word", { detached: true })).toEqualTypeOf<string>();
        return ctx.continueAsNew();
      },
    });
  });
});

describe("the handle of an execution", () => {
  it("has the calls of the page of the API", () => {
    const check = async (): Promise<void> => {
      const orders = cluster.workflow(Order);
      const h = orders.get("id");
      await h.signal("approved", { by: "kim" });
      await h.signal("counted", "5", { idempotencyKey: "k" });
      // @ts-expect-error the payload does not fit
      await h.signal("approved", { by: 5 });
      // @ts-expect-error there is no such signal
      await h.signal("aproved", { by: "kim" });
      expectTypeOf(await h.query("progress")).toEqualTypeOf<number>();
      void h.query("progress", undefined, { timeout: "5s" });
      // @ts-expect-error options are no input: it would wait for ever
      void h.query("progress", { timeout: "5s" });
      expectTypeOf(await h.query("share", { of: 2 })).toEqualTypeOf<string>();
      expectTypeOf(await h.query("typed", { n: 1 })).toEqualTypeOf<boolean>();
      // @ts-expect-error the input is missing
      await h.query("share");
      await h.cancel("out of stock");
      await h.cancel();
      const described = await h.describe();
      expectTypeOf(described.status).toEqualTypeOf<ExecutionStatus>();
      expectTypeOf(described.input).toEqualTypeOf<{ orderId: string }>();
      expectTypeOf(described.result).toEqualTypeOf<z.infer<typeof Result> | undefined>();
      expectTypeOf(described.startedAt).toEqualTypeOf<Date>();
      await h.resume();
      expectTypeOf(await h.fork({ fromStep: 3 })).toEqualTypeOf(h);
      const startedAfter = new Date(0);
      for await (const run of orders.list({
        status: "failed",
        startedAfter,
        attributes: { tenant: "a" },
        limit: 100,
      })) {
        expectTypeOf(run.executionId).toEqualTypeOf<string>();
        expectTypeOf(run.input).toEqualTypeOf<{ orderId: string }>();
      }
      // @ts-expect-error there is no such status
      orders.list({ status: "done" });
    };
    expectTypeOf(check).toBeFunction();
  });
});
