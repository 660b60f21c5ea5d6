import {
  activity,
  defineWorkflow,
  InvalidInputError,
  WorkflowCancelledError,
  WorkflowFailedError,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const Ship = defineWorkflow({
  name: "Ship",
  input: z.object({ order: z.string(), takes: z.string() }),
  output: z.object({ label: z.string() }),
  key: ({ order }) => order,
  hashKey: false,
  signals: { hurry: z.string() },
});
const Nameless = defineWorkflow<{ takes: string }, string>({ name: "Nameless" });
const Parent = defineWorkflow<string, unknown>({ name: "Parent", key: (id) => id, hashKey: false });

function family(code: (ctx: WorkflowContext) => Promise<unknown>) {
  const log: string[] = [];
  const ship = Ship.implement({
    activities: {
      print: activity(async (_ctx, order: string) => {
        log.push(order);
        return { label: `label of ${order}` };
      }),
    },
    async execute(ctx, { order, takes }) {
      if (takes === "for ever") await ctx.signal("hurry");
      else await ctx.sleep(takes as "1s");
      if (order.startsWith("bad")) throw new RangeError(`${order} cannot be shipped`);
      return ctx.activities.print(order);
    },
  });
  const nameless = Nameless.implement({
    async execute(ctx, { takes }) {
      await ctx.sleep(takes as "1s");
      return ctx.executionId;
    },
  });
  return { log, register: [ship, nameless, Parent.implement({ execute: (ctx) => code(ctx) })] };
}

describe("a child", () => {
  it.each(["100ms", "30s", "10 minutes"])(
    "that takes %s gives its result to its parent, which leaves memory meanwhile",
    async (takes) => {
      const { log, register } = family((ctx) => ctx.child(Ship).execute({ order: "o1", takes }));
      await using cluster = await createTestCluster({ runners: 3, register });
      const began = cluster.now();
      const handle = await cluster.workflow(Parent).start("p");
      await cluster.advance("5s");
      if (takes === "10 minutes") {
        await cluster.advance("3 minutes");
        expect(cluster.metrics.snapshot()["activeEntities"]).toBe(0);
        expect(await handle.describe()).toMatchObject({ status: "suspended" });
      }
      let endedAt = Number.NaN;
      void handle.result().then(() => (endedAt = cluster.now()));
      await cluster.advance("11 minutes");
      await expect(handle.result()).resolves.toEqual({ label: "label of o1" });
      expect(log).toEqual(["o1"]);
      // Pushed, not polled: the parent goes on soon after.
      const ended = (await cluster.workflow(Ship).get("o1").describe()).endedAt?.getTime() ?? Number.NaN;
      if (takes !== "100ms") expect(endedAt - ended).toBeLessThan(1_500);
      expect(endedAt).toBeGreaterThan(began);
    },
  );

  it("that sleeps is asked once to wake its parent, however often that comes back to wait for it", async () => {
    const { register } = family(async (ctx) => {
      const shipped = ctx.child(Ship).execute({ order: "o1", takes: "3h" });
      for (let pauses = 0; pauses < 10; pauses += 1) await ctx.sleep("1 minute");
      return shipped;
    });
    await using cluster = await createTestCluster({ register });
    const handle = await cluster.workflow(Parent).start("p");
    const child = cluster.workflow(Ship).get("o1");
    await cluster.advance("90 minutes");
    // One of when it had only begun, and one since.
    expect((await child.exportJournal()).inbox.length).toBeLessThanOrEqual(2);
    let endedAt = Number.NaN;
    void handle.result().then(() => (endedAt = cluster.now()));
    await cluster.advance("2h");
    const ended = (await child.describe()).endedAt?.getTime() ?? Number.NaN;
    expect(endedAt - ended).toBeLessThan(1_500);
  });

  it("that sleeps wakes each of the parents that wait for it", async () => {
    const { register } = family((ctx) => ctx.child(Ship).execute({ order: "o1", takes: "3h" }));
    await using cluster = await createTestCluster({ register });
    const child = await cluster.workflow(Ship).start({ order: "o1", takes: "3h" });
    await cluster.advance("20 minutes");
    const endedAt: number[] = [];
    for (const id of ["p", "q"]) {
      const parent = await cluster.workflow(Parent).start(id);
      void parent.result().then(() => endedAt.push(cluster.now()));
    }
    await cluster.advance("3h");
    const ended = (await child.describe()).endedAt?.getTime() ?? Number.NaN;
    expect(endedAt).toHaveLength(2);
    expect(Math.max(...endedAt) - ended).toBeLessThan(1_500);
  });

  it("is awaited beside others, joined by its key, and its parent's steps say which it is", async () => {
    const { log, register } = family(async (ctx) => {
      const started = await ctx.child(Ship).start({ order: "a", takes: "5s" });
      const all = await Promise.all([
        ctx.child(Ship).execute({ order: "b", takes: "20s" }),
        ctx.child(Ship).execute({ order: "a", takes: "7s" }),
        started.result(),
      ]);
      return [started.executionId, ...all.map(({ label }) => label)];
    });
    await using cluster = await createTestCluster({ runners: 3, register });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("3s");
    await cluster.crash(0);
    await cluster.advance("3 minutes");
    await expect(handle.result()).resolves.toEqual(["a", "label of b", "label of a", "label of a"]);
    expect(log.toSorted()).toEqual(["a", "b"]);
    const { steps } = await handle.describe();
    expect(steps.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "Ship.start completed",
      "Ship completed",
      "Ship completed",
      "Ship.result completed",
    ]);
  });

  it("that has no key is its parent's own, another one at each place", async () => {
    const { register } = family(async (ctx) =>
      Promise.all([
        ctx.child(Nameless).execute({ takes: "5s" }),
        ctx.child(Nameless).execute({ takes: "5s" }),
      ]),
    );
    await using cluster = await createTestCluster({ runners: 3, register });
    const handles = await Promise.all(["p", "q"].map((id) => cluster.workflow(Parent).start(id)));
    await cluster.advance("1 minute");
    const ids = (await Promise.all(handles.map((handle) => handle.result()))).flat();
    expect(new Set(ids).size).toBe(4);
  });

  it("that fails, or is given what it does not take, fails the step", async () => {
    const seen: unknown[] = [];
    const { register } = family(async (ctx) => {
      await ctx
        .child(Ship)
        .execute({ order: "bad", takes: "20s" })
        .catch((error: unknown) => seen.push(error));
      await ctx
        .child(Ship)
        .execute({ order: 5 } as never)
        .catch((error: unknown) => seen.push(error));
      return "went on";
    });
    await using cluster = await createTestCluster({ runners: 3, register });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1 minute");
    await expect(handle.result()).resolves.toBe("went on");
    const [failed, invalid] = seen.slice(-2);
    expect(failed).toBeInstanceOf(WorkflowFailedError);
    expect(failed).toMatchObject({ executionId: "bad", cause: { name: "RangeError" } });
    expect(invalid).toBeInstanceOf(InvalidInputError);
  });

  it("takes signals of its parent, and can be cancelled by it", async () => {
    const seen: unknown[] = [];
    const { register } = family(async (ctx) => {
      const one = await ctx.child(Ship).start({ order: "one", takes: "for ever" });
      const two = await ctx.child(Ship).start({ order: "two", takes: "for ever" });
      await one.signal("hurry", "now");
      await two.cancel("not wanted");
      seen.push(await two.result().catch((error: unknown) => error));
      return one.result();
    });
    await using cluster = await createTestCluster({ runners: 3, register });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1 minute");
    await expect(handle.result()).resolves.toEqual({ label: "label of one" });
    expect(seen.at(-1)).toBeInstanceOf(WorkflowCancelledError);
    expect(seen.at(-1)).toMatchObject({ executionId: "two", reason: "not wanted" });
  });

  // The last three once found wakes that were lost.
  it.each([1, 2, 3, 4, 5, 31, 43, 69])(
    "is run once, and its end is heard of, under every fault, with seed %i",
    async (seed) => {
      const { log, register } = family(async (ctx) => {
        const labels = [];
        for (const [index, takes] of ["10ms", "4s", "30s"].entries()) {
          const [first, second] = await Promise.all([
            ctx.child(Ship).execute({ order: `${ctx.executionId}-${index}`, takes }),
            ctx.child(Ship).execute({ order: `shared-${index}`, takes }),
          ]);
          labels.push(first.label, second.label);
        }
        return labels;
      });
      await using cluster = await createTestCluster({ runners: 3, register, seed });
      cluster.faults({
        drop: 0.03,
        duplicate: 0.03,
        delay: ["0ms", "30ms"],
        storageErrorBeforeCommit: 0.04,
        storageErrorAfterCommit: 0.04,
      });
      const parents = Array.from({ length: 4 }, (_, n) => `p${n}`);
      const starting = Promise.all(parents.map((id) => cluster.workflow(Parent).start(id)));
      await cluster.advance("8s");
      await cluster.crash(seed % 3);
      await cluster.advance("50s");
      await cluster.restart(seed % 3);
      await cluster.crash((seed + 1) % 3);
      await cluster.advance("1 minute");
      cluster.faults({});
      await cluster.restart((seed + 1) % 3);
      await cluster.advance("3 minutes");
      for (const [index, handle] of (await starting).entries())
        await expect(handle.result()).resolves.toEqual(
          [0, 1, 2].flatMap((n) => [`label of p${index}-${n}`, `label of shared-${n}`]),
        );
      // An activity without a transaction runs at least once, and once where nothing crashed under it.
      expect(new Set(log).size).toBe(4 * 3 + 3);
    },
  );
});

describe("a child that a fork takes over", () => {
  it("stays its origin's: the fork waits for it, and does not take it along where it is cancelled", async () => {
    const { register } = family(async (ctx) => {
      const ship = await ctx.child(Ship).start({ order: "o1", takes: "2h" });
      await ctx.sleep("1h");
      return ship.result();
    });
    await using cluster = await createTestCluster({ register });
    const origin = await cluster.workflow(Parent).start("1");
    await cluster.advance("1 minute");
    const forks = [await origin.fork({ fromStep: 1 }), await origin.fork({ fromStep: 1 })] as const;
    await cluster.advance("90 minutes");
    await forks[0].cancel("enough was seen");
    await cluster.advance("1 minute");
    await expect(forks[0].result()).rejects.toThrow(WorkflowCancelledError);
    await cluster.advance("1h");
    await expect(origin.result()).resolves.toEqual({ label: "label of o1" });
    await expect(forks[1].result()).resolves.toEqual({ label: "label of o1" });
  });
});
