import {
  activity,
  defineEntity,
  defineWorkflow,
  MailboxFullError,
  rpc,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { tampering } from "./tampering.ts";

const Greeter = defineEntity({
  name: "Greeter",
  rpcs: {
    greet: rpc({ input: z.object({ name: z.string() }), output: z.string(), persisted: true }),
    wave: rpc({ output: z.string() }),
  },
});

const greeter = Greeter.implement({
  greet: ({ name }) => `Hello, ${name}`,
  wave: () => "o/",
});

describe("a request", () => {
  it("is answered, volatile or persisted", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [greeter], seed: 42 });
    await expect(cluster.entity(Greeter, "ada").wave()).resolves.toBe("o/");
    await expect(cluster.entity(Greeter, "ada").greet({ name: "Ada" })).resolves.toBe("Hello, Ada");
  });

  it("may be one of thousands that wait for each other, each for the next", async () => {
    const Link = defineEntity({ name: "Link", rpcs: { follow: rpc<number, number>() } });
    const link = Link.implement({
      follow: async (left: number, ctx: HandlerContext): Promise<number> =>
        left === 0 ? 0 : 1 + (await ctx.entity(Link, String(left - 1)).follow(left - 1)),
    });
    await using cluster = await createTestCluster({ register: [link] });
    // The second time the entities are in memory, and nothing has to be waited for on the way.
    for (const time of [1, 2])
      await expect(cluster.entity(Link, `first ${time}`).follow(3_000)).resolves.toBe(3_000);
  });
});

describe("a persisted request", () => {
  it.each([0, 1, 2])("is answered although runner %i crashes while it waits (INV-2)", async (runner) => {
    await using cluster = await createTestCluster({ runners: 3, register: [greeter], seed: 42 });
    const replies = ["ada", "bob", "cy", "dee", "eve"].map((name) =>
      cluster.entity(Greeter, name).greet({ name }),
    );
    await cluster.crash(runner);
    await cluster.advance("40s"); // runnerLockTtl is 30s: the crashed runner's lease has run out
    await expect(Promise.all(replies)).resolves.toEqual(
      ["ada", "bob", "cy", "dee", "eve"].map((name) => `Hello, ${name}`),
    );
  });

  it("fails where storage cannot keep its reply, whenever it is asked", async () => {
    let begun = 0;
    await using cluster = await createTestCluster({
      register: [
        Greeter.implement({
          wave: () => "o/",
          greet({ name }) {
            begun += 1;
            return `Hello, ${name}`;
          },
        }),
      ],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveReply(reply, ...rest) {
            if (reply.exit.ok) throw new RangeError("it holds what no text does");
            return messages.saveReply(reply, ...rest);
          },
        },
      })),
    });
    const greeted = cluster.entity(Greeter, "ada").greet({ name: "Ada" });
    await expect(greeted).rejects.toThrow("it holds what no text does");
    expect(begun).toBe(1);
  });

  it("runs once for each key under lost, doubled and late messages and storage errors", async () => {
    const seen = new Map<string, number>();
    const Log = defineEntity({ name: "Log", rpcs: { add: rpc<number, number>({ persisted: true }) } });
    const log = Log.implement({
      add(n: number, ctx: HandlerContext) {
        seen.set(`${ctx.entityId}/${n}`, (seen.get(`${ctx.entityId}/${n}`) ?? 0) + 1);
        return n;
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [log], seed: 7 });
    cluster.faults({
      drop: 0.05,
      duplicate: 0.05,
      delay: ["0ms", "50ms"],
      storageErrorBeforeCommit: 0.05,
      storageErrorAfterCommit: 0.05,
    });
    const calls = Array.from({ length: 60 }, (_, n) =>
      cluster.entity(Log, `e${n % 7}`).add(n, { idempotencyKey: `k${n}` }),
    );
    await cluster.advance("2 minutes");
    await expect(Promise.all(calls)).resolves.toEqual(Array.from({ length: 60 }, (_, n) => n));
    cluster.faults({});
    const again = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        cluster.entity(Log, `e${n % 7}`).add(-1, { idempotencyKey: `k${n}` }),
      ),
    );
    expect(again).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });
});

describe("a workflow", () => {
  it("sleeps an hour out of memory, over a crash of its owner", async () => {
    const Nap = defineWorkflow<{ id: string }, string>({ name: "Nap", key: ({ id }) => id });
    let runs = 0;
    const nap = Nap.implement({
      activities: { count: activity(async (): Promise<number> => (runs += 1)) },
      async execute(ctx) {
        const first = await ctx.activities.count();
        await ctx.sleep("1 hour");
        return `${first} then ${await ctx.activities.count()}`;
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [nap], seed: 3 });
    const handle = await cluster.workflow(Nap).start({ id: "a" });
    await cluster.advance("30 minutes");
    expect(await handle.poll()).toBeUndefined();
    for (const index of [0, 1]) await cluster.crash(index);
    await cluster.advance("29 minutes");
    expect(await handle.poll()).toBeUndefined();
    await cluster.advance("2 minutes");
    expect(await handle.poll()).toBe("1 then 2");
  });
});

describe("a full mailbox", () => {
  it("refuses one more, and the refused one never ran", async () => {
    let release: () => void = () => undefined;
    const Slow = defineEntity({ name: "Slow", mailboxCapacity: 2, rpcs: { work: rpc<number, number>() } });
    const started: number[] = [];
    const slow = Slow.implement({
      async work(n: number) {
        started.push(n);
        if (n === 0) await new Promise<void>((resolve) => (release = resolve));
        return n;
      },
    });
    await using cluster = await createTestCluster({ register: [slow] });
    const entity = cluster.entity(Slow, "s");
    const calls = [0, 1, 2].map((n) => entity.work(n));
    await expect(entity.work(3)).rejects.toBeInstanceOf(MailboxFullError);
    release();
    await expect(Promise.all(calls)).resolves.toEqual([0, 1, 2]);
    expect(started).toEqual([0, 1, 2]);
  });
});
