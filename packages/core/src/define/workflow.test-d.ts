import { type } from "arktype";
import * as v from "valibot";
import { describe, expectTypeOf, it } from "vitest";
import * as z from "zod";
import type { HandlerContext, RunContext } from "../client/handler-context.ts";
import type { WorkflowClient, WorkflowClients } from "../client/workflow-client.ts";
import type { WorkflowHandle } from "../client/workflow-handle.ts";
import type { Logger } from "../contract/logger.ts";
import { rpc } from "../contract/rpc.ts";
import type { Cluster } from "../cluster/cluster.ts";
import {
  activity,
  defineActivityGroup,
  type ActivityContext,
  type ActivityGroup,
  type AnyActivities,
} from "./activity-group.ts";
import { defineEntity } from "./entity.ts";
import type { WorkflowContext } from "./workflow-context.ts";
import { defineWorkflow, type ContextOf, type WorkflowImplementation } from "./workflow.ts";

declare const cluster: Pick<Cluster, "workflow" | "entity">;

const ProcessOrderRequest = z.object({ orderId: z.string(), itemCount: z.int() });
const OrderResult = z.object({ orderId: z.string(), status: z.enum(["completed", "failed"]) });
type Request = { orderId: string; itemCount: number };
type Result = { orderId: string; status: "completed" | "failed" };

class AddressError extends Error {
  override readonly name = "AddressError";
  readonly line: string;
  constructor(line: string) {
    super(`No such address: ${line}`);
    this.line = line;
  }
}

const OrderWorkflow = defineWorkflow({
  name: "OrderWorkflow",
  input: ProcessOrderRequest,
  output: OrderResult,
  key: (request) => request.orderId,
  hashKey: false,
  errors: [AddressError],
});

const Counter = defineEntity({
  name: "Counter",
  rpcs: {
    increment: rpc({ input: z.object({ amount: z.int() }), output: z.int(), persisted: true }),
    rebuild: rpc({ visibility: "protected" }),
    history: rpc({ output: z.int(), stream: true }),
  },
});

const Inventory = defineActivityGroup({
  name: "Inventory",
  activities: {
    reserve: activity(async (ctx, orderId: string, count: number): Promise<string> => {
      expectTypeOf(ctx).toEqualTypeOf<ActivityContext>();
      return `res-${orderId}-${count}`;
    }),
    release: activity(async (_ctx, _reservation: string): Promise<void> => {}),
  },
});

const Payments = defineActivityGroup({
  name: "Payments",
  activities: {
    take: activity({ retries: 1 }, async (_ctx, orderId: string, cents: bigint) => ({ orderId, cents })),
  },
});

declare function fetchTracking(
  url: string,
  options: { signal: AbortSignal; key: string },
): Promise<{ label: string }>;

describe("a workflow's types", () => {
  it("come from the schemas, and the page of the API type-checks as it is written", () => {
    const implementation = OrderWorkflow.implement({
      groups: [Inventory, Payments],
      activities: {
        callCarrier: activity(
          {
            retries: 3,
            backoff: "exponential",
            initialInterval: "1s",
            maxInterval: "1m",
            timeout: "30s",
            heartbeatTimeout: "10s",
            nonRetryable: [AddressError],
          },
          async (ctx, url: string) => fetchTracking(url, { signal: ctx.signal, key: ctx.idempotencyKey }),
        ),
      },
      async execute(ctx, request) {
        expectTypeOf(request).toEqualTypeOf<Request>();
        const reservation = await ctx.activities.reserve(request.orderId, request.itemCount);
        expectTypeOf(reservation).toEqualTypeOf<string>();
        const [label, quote] = await Promise.all([
          ctx.activities.callCarrier("a"),
          ctx.activities.callCarrier("b"),
        ]);
        expectTypeOf(label).toEqualTypeOf<{ label: string }>();
        expectTypeOf(quote).toEqualTypeOf<{ label: string }>();
        expectTypeOf(await ctx.activities.take(request.orderId, 5n)).toEqualTypeOf<{
          orderId: string;
          cents: bigint;
        }>();
        expectTypeOf(await ctx.activities.release(reservation)).toEqualTypeOf<void>();
        await ctx.sleep("1 hour");
        await ctx.sleep(1_000);
        await ctx.sleepUntil(new Date("2030-01-01"));
        const rate = await ctx.run("fetch-rate", async () => 1.5);
        expectTypeOf(rate).toEqualTypeOf<number>();
        expectTypeOf(await ctx.entity(Counter, "sales").increment({ amount: 1 })).toEqualTypeOf<number>();
        return { orderId: request.orderId, status: "completed" };
      },
    });
    expectTypeOf(implementation).toEqualTypeOf<WorkflowImplementation>();
  });

  it("give callers the schema's input side and the code its output side", () => {
    const Transforming = defineWorkflow({
      name: "Transforming",
      input: z.object({ at: z.iso.datetime().transform((text) => new Date(text)), size: z.int().default(1) }),
      output: z.number().transform((n) => String(n)),
      key: (input) => {
        expectTypeOf(input).toEqualTypeOf<{ at: Date; size: number }>();
        return input.at.toISOString();
      },
    });
    Transforming.implement({
      async execute(_ctx, input) {
        expectTypeOf(input).toEqualTypeOf<{ at: Date; size: number }>();
        return 5;
      },
    });
    // @ts-expect-error the code returns the output schema's input side
    Transforming.implement({ execute: async () => "5" });
    expectTypeOf(cluster.workflow(Transforming).execute)
      .parameter(0)
      .toEqualTypeOf<{ at: string; size?: number | undefined }>();
    expectTypeOf(cluster.workflow(Transforming).execute).returns.resolves.toEqualTypeOf<string>();
  });

  it("come from valibot and arktype, too", () => {
    const ByValibot = defineWorkflow({
      name: "ByValibot",
      input: v.object({ id: v.string() }),
      output: v.number(),
      key: ({ id }) => id,
    });
    expectTypeOf(cluster.workflow(ByValibot).execute).parameter(0).toEqualTypeOf<{ id: string }>();
    expectTypeOf(cluster.workflow(ByValibot).execute).returns.resolves.toEqualTypeOf<number>();
    const ByArktype = defineWorkflow({
      name: "ByArktype",
      input: type({ id: "string" }),
      output: type("number"),
      key: ({ id }) => id,
    });
    expectTypeOf(cluster.workflow(ByArktype).execute).parameter(0).toEqualTypeOf<{ id: string }>();
    expectTypeOf(cluster.workflow(ByArktype).execute).returns.resolves.toEqualTypeOf<number>();
  });

  it("can be given as type arguments", () => {
    const Typed = defineWorkflow<{ id: string }, number>({ name: "Typed", key: ({ id }) => id });
    Typed.implement({
      async execute(_ctx, input) {
        expectTypeOf(input).toEqualTypeOf<{ id: string }>();
        return 1;
      },
    });
    // @ts-expect-error it returns a number
    Typed.implement({ execute: async () => "1" });
    expectTypeOf(cluster.workflow(Typed).execute).parameter(0).toEqualTypeOf<{ id: string }>();
    expectTypeOf(cluster.workflow(Typed).execute).returns.resolves.toEqualTypeOf<number>();
    // @ts-expect-error a key is a string
    defineWorkflow<{ id: number }, void>({ name: "Typed", key: ({ id }) => id });
  });

  it("are void where nothing is said", () => {
    const Nothing = defineWorkflow({ name: "Nothing" });
    Nothing.implement({ async execute() {} });
    void (() => cluster.workflow(Nothing).execute());
    expectTypeOf(cluster.workflow(Nothing).execute).returns.resolves.toEqualTypeOf<void>();
  });
});

describe("a workflow's code", () => {
  it("must be there, and return the output", () => {
    // @ts-expect-error execute is missing
    OrderWorkflow.implement({ groups: [Inventory] });
    // @ts-expect-error the status is none of those of the schema
    OrderWorkflow.implement({ execute: async () => ({ orderId: "1", status: "lost" }) });
  });

  it("asks for no more than the input has", () => {
    OrderWorkflow.implement({
      async execute(_ctx, { orderId }: { orderId: string }) {
        return { orderId, status: "completed" };
      },
    });
    OrderWorkflow.implement({
      // @ts-expect-error the input has no cents
      async execute(_ctx, { orderId, cents }: Request & { cents: bigint }) {
        return { orderId, status: cents > 0n ? "completed" : "failed" };
      },
    });
  });

  it("calls only the activities that it was given, with their arguments", () => {
    OrderWorkflow.implement({
      groups: [Inventory],
      activities: { own: activity(async (_ctx, n: number) => n) },
      async execute(ctx, { orderId }) {
        expectTypeOf(ctx.activities).toHaveProperty("reserve");
        expectTypeOf<keyof typeof ctx.activities>().toEqualTypeOf<"own" | "reserve" | "release">();
        expectTypeOf(ctx.activities.own).toEqualTypeOf<(n: number) => Promise<number>>();
        expectTypeOf(ctx.activities.reserve).toEqualTypeOf<
          (orderId: string, count: number) => Promise<string>
        >();
        // @ts-expect-error the group Payments was not given
        void (() => ctx.activities.take(orderId, 5n));
        // @ts-expect-error a number is missing
        void (() => ctx.activities.reserve(orderId));
        // @ts-expect-error the count is a number
        void (() => ctx.activities.reserve(orderId, "3"));
        // @ts-expect-error there is no third argument
        void (() => ctx.activities.reserve(orderId, 3, 4));
        // @ts-expect-error the context is not the caller's to give
        void (() => ctx.activities.own({} as ActivityContext, 3));
        return { orderId, status: "completed" };
      },
    });
    const plain = async (): Promise<number> => 1;
    OrderWorkflow.implement({
      // @ts-expect-error a plain function is no activity
      activities: { own: plain },
      execute: async () => ({ orderId: "", status: "failed" }),
    });
  });

  it("must not have two activities of one name", () => {
    const execute = async (): Promise<Result> => ({ orderId: "", status: "failed" });
    const own = { reserve: activity(async () => 1) };
    // @ts-expect-error the group Inventory has a "reserve", too
    OrderWorkflow.implement({ groups: [Inventory], activities: own, execute });
    const Stock = defineActivityGroup({ name: "Stock", activities: own });
    // @ts-expect-error both groups have a "reserve"
    OrderWorkflow.implement({ groups: [Inventory, Payments, Stock], execute });
    OrderWorkflow.implement({ groups: [Payments, Stock], execute });
    const unknown: ActivityGroup = Stock;
    OrderWorkflow.implement({ groups: [unknown, Payments, unknown], activities: own, execute });
    const anyActivities: AnyActivities = own;
    OrderWorkflow.implement({ groups: [Inventory, unknown], activities: anyActivities, execute });
    // @ts-expect-error both groups have a "reserve"
    OrderWorkflow.implement({ groups: [unknown, Inventory, Stock], execute });
  });

  it("may name its context by hand, which gives it no activities", () => {
    const own = { pack: activity(async (_ctx, n: number) => n) };
    OrderWorkflow.implement({
      groups: [Inventory],
      execute: async (ctx: WorkflowContext, { orderId }) => ({
        orderId: orderId + ctx.executionId,
        status: "completed",
      }),
    });
    type Context = ContextOf<typeof OrderWorkflow, typeof own & typeof Inventory.activities>;
    const execute = async (ctx: Context, { orderId, itemCount }: Request): Promise<Result> => {
      expectTypeOf(await ctx.activities.pack(itemCount)).toEqualTypeOf<number>();
      expectTypeOf(await ctx.activities.reserve(orderId, itemCount)).toEqualTypeOf<string>();
      return { orderId, status: "completed" };
    };
    OrderWorkflow.implement({ groups: [Inventory], activities: own, execute });
    // @ts-expect-error there is no activity "pack"
    OrderWorkflow.implement({ groups: [Inventory], execute });
  });

  it("has no activities where none were given", () => {
    OrderWorkflow.implement({
      async execute(ctx, { orderId }) {
        expectTypeOf<keyof typeof ctx.activities>().toEqualTypeOf<never>();
        return { orderId, status: "completed" };
      },
    });
  });

  it("runs inline activities with and without options", () => {
    const check = async (ctx: WorkflowContext): Promise<void> => {
      expectTypeOf(await ctx.run("plain", () => "text")).toEqualTypeOf<string>();
      const tried = await ctx.run("tried", { retries: 2, timeout: "5s" }, async (attempt) => {
        expectTypeOf(attempt).toEqualTypeOf<ActivityContext>();
        return attempt.attempt;
      });
      expectTypeOf(tried).toEqualTypeOf<number>();
      // @ts-expect-error there is no such option
      await ctx.run("mistyped", { retry: 2 }, () => 1);
      // @ts-expect-error the function is missing
      await ctx.run("empty", { retries: 2 });
    };
    expectTypeOf(check).toBeFunction();
  });

  it("calls protected rpcs of entities", () => {
    const check = async (ctx: WorkflowContext): Promise<void> => {
      await ctx.entity(Counter, "sales").rebuild();
      await ctx.entity(Counter, "sales").increment.notify({ amount: 1 });
      // @ts-expect-error the amount is a number
      await ctx.entity(Counter, "sales").increment({ amount: "1" });
    };
    expectTypeOf(check).toBeFunction();
  });

  it("knows the time, chance and its log", () => {
    expectTypeOf<WorkflowContext["now"]>().returns.toEqualTypeOf<number>();
    expectTypeOf<WorkflowContext["random"]>().returns.toEqualTypeOf<number>();
    expectTypeOf<WorkflowContext["uuid"]>().returns.toEqualTypeOf<string>();
    expectTypeOf<WorkflowContext["log"]>().toEqualTypeOf<Logger>();
    expectTypeOf<WorkflowContext["isReplaying"]>().toEqualTypeOf<boolean>();
    expectTypeOf<WorkflowContext["executionId"]>().toEqualTypeOf<string>();
  });
});

describe("an activity", () => {
  it("has the arguments and the result of its function", () => {
    const add = activity(async (_ctx, a: number, b?: number) => a + (b ?? 0));
    expectTypeOf(add.body).parameter(1).toEqualTypeOf<number>();
    const named = activity({ retries: 2 }, (ctx, ...names: string[]) => names.join(ctx.activityId));
    expectTypeOf(named.body).returns.toEqualTypeOf<string | Promise<string>>();
    // @ts-expect-error there is no such option
    activity({ retrys: 2 }, async () => 1);
    // @ts-expect-error backoff is one of two
    activity({ backoff: "linear" }, async () => 1);
  });

  it("is given what one attempt needs", () => {
    expectTypeOf<ActivityContext>().toExtend<Omit<RunContext, "log">>();
    expectTypeOf<ActivityContext["attempt"]>().toEqualTypeOf<number>();
    expectTypeOf<ActivityContext["idempotencyKey"]>().toEqualTypeOf<string>();
    expectTypeOf<ActivityContext["activityId"]>().toEqualTypeOf<string>();
    expectTypeOf<ActivityContext["signal"]>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<ActivityContext["heartbeat"]>().toBeCallableWith();
    expectTypeOf<ActivityContext["heartbeat"]>().toBeCallableWith({ page: 3 });
    expectTypeOf<ActivityContext["lastHeartbeat"]>().toEqualTypeOf<unknown>();
  });
});

describe("a workflow's client", () => {
  it("has the calls of the page of the API", () => {
    const check = async (): Promise<void> => {
      const request: Request = { orderId: "1", itemCount: 2 };
      const orders = cluster.workflow(OrderWorkflow);
      expectTypeOf(await orders.execute(request)).toEqualTypeOf<Result>();
      const handle = await orders.start(request);
      expectTypeOf(handle.executionId).toEqualTypeOf<string>();
      expectTypeOf(await handle.result()).toEqualTypeOf<Result>();
      expectTypeOf(await handle.poll()).toEqualTypeOf<Result | undefined>();
      expectTypeOf(await orders.poll(handle.executionId)).toEqualTypeOf<Result | undefined>();
      expectTypeOf(await orders.withKey("my-key").execute(request)).toEqualTypeOf<Result>();
      expectTypeOf(await orders.withRawKey("raw-id").execute(request)).toEqualTypeOf<Result>();
      expectTypeOf(await orders.withKey("my-key").start(request)).toEqualTypeOf(handle);
      expectTypeOf(orders.get(handle.executionId)).toEqualTypeOf(handle);
      await orders.execute(request, {
        timeout: "5s",
        signal: new AbortController().signal,
        headers: { tenant: "a" },
      });
      // @ts-expect-error the input is missing
      await orders.execute();
      // @ts-expect-error a field is missing
      await orders.start({ orderId: "1" });
      // @ts-expect-error an execution is named by its key
      await orders.execute(request, { idempotencyKey: "1" });
    };
    expectTypeOf(check).toBeFunction();
    expectTypeOf<HandlerContext["workflow"]>().toEqualTypeOf<WorkflowClients>();
    expectTypeOf<ActivityContext["workflow"]>().toEqualTypeOf<WorkflowClients>();
    expectTypeOf<WorkflowClient<never>>().toHaveProperty("get");
    expectTypeOf<WorkflowHandle<never>>().toHaveProperty("poll");
  });
});
