import { type } from "arktype";
import * as v from "valibot";
import { describe, expectTypeOf, it } from "vitest";
import * as z from "zod";
import type { Cluster } from "../cluster/cluster.ts";
import type { CallOptions } from "../client/call-options.ts";
import type { EntityClient, EntityClients, EntityPeer, EntityPeers } from "../client/entity-client.ts";
import type { HandlerContext } from "../client/handler-context.ts";
import type { UntypedEntityClient } from "../client/untyped-client.ts";
import type { WorkflowClients } from "../client/workflow-client.ts";
import type { Logger } from "../contract/logger.ts";
import { rpc, type RpcInput, type RpcOutput } from "../contract/rpc.ts";
import { defineEntity, type EntityImplementation } from "./entity.ts";
import type { EntityScope } from "./handlers.ts";

declare const cluster: Pick<Cluster, "entity" | "entityClient">;
declare const inside: HandlerContext;

const Charge = z.object({ id: z.string(), cents: z.int() });

const Counter = defineEntity({
  name: "Counter",
  shardGroup: "default",
  maxIdleTime: "60s",
  mailboxCapacity: 100,
  concurrency: 1,
  rpcs: {
    increment: rpc({ input: z.object({ amount: z.int() }), output: z.int(), persisted: true }),
    get: rpc({ output: z.int() }),
    history: rpc({ output: z.int(), stream: true }),
    rebuild: rpc({ visibility: "protected" }),
    rename: rpc<{ to: string }, void>({ persisted: true }),
    charge: rpc({ input: Charge, persisted: true, primaryKey: (charge) => charge.id }),
  },
});

type CounterRpcs = (typeof Counter)["rpcs"];

describe("an entity's implementation", () => {
  it("type-checks as the page of the API shows it", () => {
    const counter = Counter.implement({
      async increment({ amount }, ctx) {
        expectTypeOf(amount).toEqualTypeOf<number>();
        expectTypeOf(ctx).toEqualTypeOf<HandlerContext>();
        return amount;
      },
      async get(_input, ctx) {
        return ctx.attempt;
      },
      async *history(_input, _ctx) {
        yield 1;
      },
      async rebuild(_input, _ctx) {},
      async rename({ to }, _ctx) {
        expectTypeOf(to).toEqualTypeOf<string>();
      },
      async charge(charge, _ctx) {
        expectTypeOf(charge).toEqualTypeOf<{ id: string; cents: number }>();
      },
    });
    expectTypeOf(counter).toEqualTypeOf<EntityImplementation>();
  });

  it("may be a function of the entity", () => {
    Counter.implement((entity) => {
      expectTypeOf(entity).toEqualTypeOf<EntityScope>();
      const recent: number[] = [];
      entity.onEvict(async () => {});
      return {
        async increment({ amount }) {
          recent.push(amount);
          return amount;
        },
        get: () => recent.length,
        async *history() {
          yield* recent;
        },
        async rebuild() {},
        async rename() {},
        async charge() {},
      };
    });
  });

  it("needs a handler for each rpc, and no other", () => {
    const Two = defineEntity({
      name: "Two",
      rpcs: { add: rpc({ input: z.number(), output: z.number() }), reset: rpc() },
    });
    // @ts-expect-error the handlers are missing
    Two.implement({});
    // @ts-expect-error the handler of `reset` is missing
    Two.implement({ add: async (n) => n });
    // @ts-expect-error the handler of `reset` is missing
    Two.implement(() => ({ add: async (n: number) => n }));
    // @ts-expect-error there is no rpc `remove`
    Two.implement({ add: async (n) => n, reset: async () => {}, remove: async () => {} });
    // @ts-expect-error `add` returns a number
    Two.implement({ add: async () => "1", reset: async () => {} });
    // @ts-expect-error `add` takes a number
    Two.implement({ add: async (n: string) => n.length, reset: async () => {} });
    // @ts-expect-error implement takes an argument
    Two.implement();
    Two.implement({ add: async (n) => n, reset: async () => {} });
  });

  it("answers a streaming rpc with an async iterable", () => {
    const Streams = defineEntity({
      name: "Streams",
      rpcs: { count: rpc({ input: z.number(), output: z.number(), stream: true }) },
    });
    Streams.implement({
      async *count(upTo) {
        for (let n = 0; n < upTo; n += 1) yield n;
      },
    });
    // @ts-expect-error a promise is no stream
    Streams.implement({ count: async (upTo) => upTo });
    Streams.implement({
      // @ts-expect-error the elements are numbers
      async *count() {
        yield "1";
      },
    });
  });
});

describe("an entity's client", () => {
  it("type-checks as the page of the API shows it", () => {
    const check = async (): Promise<void> => {
      const signal = new AbortController().signal;
      const counter = cluster.entity(Counter, "counter-1");
      expectTypeOf(await counter.increment({ amount: 5 })).toEqualTypeOf<number>();
      await counter.increment(
        { amount: 5 },
        { idempotencyKey: "payment-7", timeout: "5s", signal, headers: { tenant: "a" } },
      );
      expectTypeOf(await counter.increment.notify({ amount: 5 })).toEqualTypeOf<void>();
      await counter.increment({ amount: 5 }, { deliverAt: new Date("2030-01-01") });
      for await (const n of counter.history()) expectTypeOf(n).toEqualTypeOf<number>();
      expectTypeOf(await counter.get()).toEqualTypeOf<number>();
      expectTypeOf(await counter.rename({ to: "b" })).toEqualTypeOf<void>();
      expectTypeOf(await counter.charge({ id: "1", cents: 5 })).toEqualTypeOf<void>();
    };
    expectTypeOf(check).toBeFunction();
  });

  it("takes the input and the options of a call", () => {
    expectTypeOf<EntityClient<CounterRpcs>["increment"]>().parameter(0).toEqualTypeOf<{ amount: number }>();
    expectTypeOf<EntityClient<CounterRpcs>["increment"]>()
      .parameter(1)
      .toEqualTypeOf<CallOptions | undefined>();
    expectTypeOf<EntityClient<CounterRpcs>["increment"]["notify"]>().parameters.toEqualTypeOf<
      [input: { amount: number }, options?: CallOptions]
    >();
    const counter = cluster.entity(Counter, "a");
    void (() => counter.get(undefined, { timeout: 5 }));
    // @ts-expect-error the input is missing
    void (() => counter.increment());
    // @ts-expect-error the amount is a number
    void (() => counter.increment({ amount: "5" }));
    // @ts-expect-error there is no such field
    void (() => counter.increment({ amount: 5, by: "kim" }));
    // @ts-expect-error it takes no input
    void (() => counter.get({ amount: 5 }));
    // @ts-expect-error there is no such option
    void (() => counter.increment({ amount: 5 }, { idempotency: "1" }));
    // @ts-expect-error a header is a string
    void (() => counter.increment({ amount: 5 }, { headers: { tenant: 5 } }));
    // @ts-expect-error there is no such rpc
    void (() => counter.decrement({ amount: 5 }));
    // @ts-expect-error an entity's id is a string
    void (() => cluster.entity(Counter, 5));
  });

  it("has streams as async iterables, which cannot be notified", () => {
    const counter = cluster.entity(Counter, "a");
    expectTypeOf(counter.history).returns.toEqualTypeOf<AsyncIterableIterator<number>>();
    expectTypeOf(counter.history).not.toHaveProperty("notify");
  });

  it("has no protected rpcs, and that of a context has them", () => {
    expectTypeOf<EntityClient<CounterRpcs>>().not.toHaveProperty("rebuild");
    expectTypeOf<EntityPeer<CounterRpcs>>().toHaveProperty("rebuild");
    expectTypeOf<keyof EntityClient<CounterRpcs>>().toEqualTypeOf<
      "increment" | "get" | "history" | "rename" | "charge"
    >();
    // @ts-expect-error `rebuild` is for entities
    void (() => cluster.entity(Counter, "a").rebuild());
    void (() => inside.entity(Counter, "a").rebuild());
    expectTypeOf<Cluster["entity"]>().toEqualTypeOf<EntityClients>();
    expectTypeOf<HandlerContext["entity"]>().toEqualTypeOf<EntityPeers>();
    const Streamed = defineEntity({
      name: "Streamed",
      rpcs: {
        inner: rpc<void, number>({ stream: true, visibility: "protected" }),
        own: rpc<number, number>({ visibility: "protected" }),
        open: rpc<void, number>({ stream: true, visibility: "public" }),
      },
    });
    expectTypeOf<keyof EntityClient<(typeof Streamed)["rpcs"]>>().toEqualTypeOf<"open">();
    expectTypeOf(inside.entity(Streamed, "a").inner).returns.toEqualTypeOf<AsyncIterableIterator<number>>();
    expectTypeOf(inside.entity(Streamed, "a").own).returns.resolves.toEqualTypeOf<number>();
  });

  it("has the seven untyped calls", () => {
    const check = async (client: UntypedEntityClient): Promise<void> => {
      expectTypeOf(await client.send("id", "get", undefined)).toEqualTypeOf<unknown>();
      await client.sendPersisted("id", "increment", { amount: 5 }, { uninterruptible: true });
      await client.notify("id", "increment", { amount: 5 });
      await client.notifyPersisted("id", "increment", { amount: 5 });
      await client.sendAt("id", "increment", { amount: 5 }, new Date("2030-01-01"));
      await client.notifyAt("id", "increment", { amount: 5 }, new Date("2030-01-01"));
      for await (const element of client.sendStream("id", "history", undefined))
        expectTypeOf(element).toEqualTypeOf<unknown>();
    };
    expectTypeOf(check).toBeFunction();
    expectTypeOf(cluster.entityClient("Counter")).toEqualTypeOf<UntypedEntityClient>();
  });
});

describe("an rpc's types", () => {
  it("differ between caller and handler where a schema transforms", () => {
    const Transforming = defineEntity({
      name: "Transforming",
      rpcs: {
        at: rpc({
          input: z.object({
            at: z.iso.datetime().transform((text) => new Date(text)),
            size: z.int().default(1),
          }),
          output: z.date().transform((date) => date.toISOString()),
        }),
      },
    });
    Transforming.implement({
      async at(input) {
        expectTypeOf(input).toEqualTypeOf<{ at: Date; size: number }>();
        return input.at;
      },
    });
    // @ts-expect-error the handler returns the output schema's input side
    Transforming.implement({ at: async () => "2030-01-01" });
    const client = cluster.entity(Transforming, "a");
    expectTypeOf(client.at).parameter(0).toEqualTypeOf<{ at: string; size?: number | undefined }>();
    expectTypeOf(client.at).returns.resolves.toEqualTypeOf<string>();
    expectTypeOf<RpcInput<(typeof Transforming)["rpcs"]["at"]>>().toEqualTypeOf<{
      at: string;
      size?: number | undefined;
    }>();
    expectTypeOf<RpcOutput<(typeof Transforming)["rpcs"]["at"]>>().toEqualTypeOf<string>();
  });

  it("come from zod, valibot and arktype alike", () => {
    const Mixed = defineEntity({
      name: "Mixed",
      rpcs: {
        zod: rpc({
          input: z.object({ n: z.number() }),
          output: z.string(),
          persisted: true,
          primaryKey: ({ n }) => String(n),
        }),
        valibot: rpc({
          input: v.object({ n: v.number() }),
          output: v.string(),
          persisted: true,
          primaryKey: ({ n }) => String(n),
        }),
        arktype: rpc({
          input: type({ n: "number" }),
          output: type("string"),
          persisted: true,
          primaryKey: ({ n }) => String(n),
        }),
      },
    });
    const client = cluster.entity(Mixed, "a");
    expectTypeOf(client.zod).toEqualTypeOf(client.valibot);
    expectTypeOf(client.zod).toEqualTypeOf(client.arktype);
    expectTypeOf(client.zod).parameter(0).toEqualTypeOf<{ n: number }>();
    expectTypeOf(client.zod).returns.resolves.toEqualTypeOf<string>();
  });

  it("can be given as type arguments, with each flag", () => {
    const Typed = defineEntity({
      name: "Typed",
      rpcs: {
        plain: rpc<{ to: string }, number>(),
        keyed: rpc<{ to: string }, number>({ persisted: true, primaryKey: ({ to }) => to }),
        flow: rpc<string, { line: string }>({ stream: true }),
        optional: rpc<{ to: string } | undefined, void>(),
      },
    });
    const client = cluster.entity(Typed, "a");
    expectTypeOf(client.plain).parameter(0).toEqualTypeOf<{ to: string }>();
    expectTypeOf(client.plain).returns.resolves.toEqualTypeOf<number>();
    expectTypeOf(client.keyed).toEqualTypeOf(client.plain);
    expectTypeOf(client.flow).returns.toEqualTypeOf<AsyncIterableIterator<{ line: string }>>();
    void (() => client.optional());
    void (() => client.optional({ to: "b" }));
    // @ts-expect-error a key is a string
    rpc<{ to: number }, void>({ persisted: true, primaryKey: ({ to }) => to });
  });

  it("give primaryKey the parsed input", () => {
    rpc({
      input: z.object({ at: z.string().transform((text) => new Date(text)) }),
      persisted: true,
      primaryKey(input) {
        expectTypeOf(input).toEqualTypeOf<{ at: Date }>();
        return input.at.toISOString();
      },
    });
    // @ts-expect-error a key is a string
    rpc({ input: Charge, persisted: true, primaryKey: (charge) => charge.cents });
  });

  it("take an input that may be left out", () => {
    const Optional = defineEntity({
      name: "Optional",
      rpcs: { list: rpc({ input: z.object({ limit: z.int() }).optional(), output: z.int() }) },
    });
    Optional.implement({
      async list(input) {
        expectTypeOf(input).toEqualTypeOf<{ limit: number } | undefined>();
        return 1;
      },
    });
    void (() => cluster.entity(Optional, "a").list());
    void (() => cluster.entity(Optional, "a").list({ limit: 5 }));
  });
});

describe("a handler's context", () => {
  it("has what the page of the API lists", () => {
    expectTypeOf<HandlerContext["entityId"]>().toEqualTypeOf<string>();
    expectTypeOf<HandlerContext["address"]>().toExtend<{
      entityType: string;
      entityId: string;
      shardId: string;
    }>();
    expectTypeOf<HandlerContext["requestId"]>().toEqualTypeOf<string>();
    expectTypeOf<HandlerContext["attempt"]>().toEqualTypeOf<number>();
    expectTypeOf<HandlerContext["signal"]>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<HandlerContext["headers"]>().toEqualTypeOf<Readonly<Record<string, string>>>();
    expectTypeOf<HandlerContext["log"]>().toEqualTypeOf<Logger>();
    expectTypeOf<HandlerContext["workflow"]>().toEqualTypeOf<WorkflowClients>();
    expectTypeOf<HandlerContext["deliverAt"]>().toEqualTypeOf<Date | undefined>();
    expectTypeOf<HandlerContext["fencingToken"]>().toEqualTypeOf<number>();
  });
});
