// A whole member on Redis, and a Redis that is killed under it.

import { activity, createCluster, defineEntity, defineWorkflow, rpc, type Cluster } from "@holdfast/core";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";

const Counter = defineEntity({
  name: "Counter",
  rpcs: { add: rpc<{ amount: number }, number>({ persisted: true }) },
});
const counter = Counter.implement(() => {
  let value = 0;
  return {
    async add({ amount }) {
      value += amount;
      return value;
    },
  };
});

const Order = defineWorkflow<{ id: string }, string>({
  name: "Order",
  key: ({ id }) => id,
});
const order = Order.implement({
  activities: { reserve: activity(async (_ctx, id: string) => `reserved ${id}`) },
  async execute(ctx, { id }) {
    const reservation = await ctx.activities.reserve(id);
    await ctx.sleep("1 ms");
    const label = await ctx.run("label", async () => `label ${id}`);
    return `${reservation}, ${label}`;
  },
});

let redis: OwnRedis;
beforeAll(async () => {
  redis = await startOwnRedis({ extra: ["--appendonly", "yes", "--appendfsync", "always"] });
});
afterAll(() => redis.stop());

function member(prefix: string): Promise<Cluster> {
  return createCluster({
    storage: `${redis.url}/0?prefix=${prefix}`,
    register: [counter, order],
    shardsPerGroup: 16,
  });
}

describe("a cluster on Redis", () => {
  it("answers each request once, also when it is repeated under its key", async () => {
    await using cluster = await member("requests");
    await cluster.start();
    const a = cluster.entity(Counter, "a");
    expect(await a.add({ amount: 5 }, { idempotencyKey: "1" })).toBe(5);
    expect(await a.add({ amount: 5 }, { idempotencyKey: "1" })).toBe(5);
    expect(await a.add({ amount: 5 }, { idempotencyKey: "2" })).toBe(10);
  });

  it("sees executions through to their ends although Redis is killed again and again", async () => {
    await using cluster = await member("executions");
    await cluster.start();
    const orders = cluster.workflow(Order);
    const ids = Array.from({ length: 40 }, (_, index) => String(index));
    const results: Promise<string>[] = [];
    for (const [index, id] of ids.entries()) {
      results.push(repeated(() => orders.execute({ id })));
      if (index % 10 === 5) await redis.control.restart();
    }
    expect(await Promise.all(results)).toEqual(ids.map((id) => `reserved ${id}, label ${id}`));
  });

  it("attempts an execution that finds no memory for a step again once there is room, and not before", async () => {
    const admin = new Redis(redis.url);
    onTestFinished(async () => {
      await admin.config("SET", "maxmemory", "0");
      admin.disconnect();
    });
    let charges = 0;
    const charging = Promise.withResolvers<void>();
    const isFull = Promise.withResolvers<void>();
    const waiting = Promise.withResolvers<void>();
    const Payment = defineWorkflow<{ id: string }, string>({ name: "Payment", key: ({ id }) => id });
    const payment = Payment.implement({
      async execute(ctx) {
        await ctx.run("charge", async () => {
          charges += 1;
          charging.resolve();
          await isFull.promise;
        });
        return ctx.run("book", async () => "booked");
      },
    });
    const quiet = (): void => undefined;
    await using cluster = await createCluster({
      storage: `${redis.url}/0?prefix=full`,
      register: [payment],
      shardsPerGroup: 1,
      shardRebalanceDebounce: 0,
      storageMessageMaxRetries: 1,
      logger: {
        debug: quiet,
        info: quiet,
        warn: (message) => {
          if (message === "An attempt could not be recorded") waiting.resolve();
        },
        error: quiet,
      },
    });
    await cluster.start();
    const result = cluster.workflow(Payment).execute({ id: "1" });
    await charging.promise;
    await admin.config("SET", "maxmemory", "1");
    isFull.resolve();
    await Promise.race([waiting.promise, result]);
    await admin.config("SET", "maxmemory", "0");
    expect(await result).toBe("booked");
    expect(charges).toBe(2);
  });

  it("finds everything again after its own restart", async () => {
    {
      await using first = await member("restart");
      await first.start();
      await first.workflow(Order).execute({ id: "7" });
    }
    await using second = await member("restart");
    await second.start();
    expect(await second.workflow(Order).execute({ id: "7" })).toBe("reserved 7, label 7");
    const listed: string[] = [];
    for await (const run of second.workflow(Order).list({ status: "completed" }))
      listed.push(run.executionId);
    expect(listed).toHaveLength(1);
  });
});

/** Repeats a call that may be repeated, as callers do: the same key is the same execution. */
async function repeated<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Error && "retryable" in error && error.retryable === true)) throw error;
    }
  }
}
