import {
  activity,
  defineEntity,
  defineWorkflow,
  rpc,
  WorkflowCancelledError,
  WorkflowFailedError,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { inDoubt, tampering } from "./tampering.ts";

type Code = (ctx: WorkflowContext) => Promise<unknown>;

/** A workflow of whatever code, and a log of what happened outside. */
async function started(
  code: (ctx: WorkflowContext<Activities>) => Promise<unknown>,
  more: Pick<TestClusterOptions, "runners" | "seed" | "tamper"> = {},
) {
  const log: string[] = [];
  const activities = activitiesOf(log);
  const Work = defineWorkflow<string, unknown>({ name: "Work", key: (id) => id, hashKey: false });
  const work = Work.implement({ activities, execute: (ctx) => code(ctx as never) });
  const Child = defineWorkflow<string, string>({ name: "Child", key: (id) => id, hashKey: false });
  const child = Child.implement({
    execute: async (ctx, id) => {
      log.push(`${id} began`);
      ctx.onCompensate("undo", () => ctx.run("undo", () => void log.push(`${id} undone`)));
      await ctx.sleep("5 minutes");
      return `${id} done`;
    },
  });
  const cluster = await createTestCluster({ runners: 3, register: [work, child, sales(log)], ...more });
  const handle = await cluster.workflow(Work).start("1");
  return { cluster, log, handle, Work, Child, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

const Sales = defineEntity({ name: "Sales", rpcs: { add: rpc<number, void>({ persisted: true }) } });
const sales = (log: string[]) => Sales.implement({ add: (n) => void log.push(`sold ${n}`) });
const Child = defineWorkflow<string, string>({ name: "Child", key: (id) => id, hashKey: false });

function activitiesOf(log: string[]) {
  return {
    note: activity(async (_ctx, what: string) => {
      log.push(what);
      return what;
    }),
    /** Goes on until it is told to end, and then fails. */
    patient: activity(async (ctx, what: string) => {
      log.push(`${what} began`);
      await new Promise((_resolve, reject) =>
        ctx.signal.addEventListener("abort", () => reject(new Error("told to end")), { once: true }),
      );
    }),
    /** Ends well, and only once it is told to. */
    committed: activity(async (ctx, what: string) => {
      log.push(`${what} began`);
      await new Promise<void>((resolve) =>
        ctx.signal.addEventListener("abort", () => resolve(), { once: true }),
      );
      return what;
    }),
    broken: activity({ retries: 20, initialInterval: "10s" }, async (ctx, what: string) => {
      log.push(`${what}#${ctx.attempt}`);
      throw new Error(`${what} is broken`);
    }),
  };
}
type Activities = ReturnType<typeof activitiesOf>;

async function cancelled(cluster: TestCluster, handle: { result(): Promise<unknown> }): Promise<unknown> {
  const error = handle.result().catch((reason: unknown) => reason);
  await cluster.advance("1 minute");
  return error;
}

describe("a cancelled execution", () => {
  const waits: Readonly<Record<string, Code>> = {
    "a sleep": (ctx) => ctx.sleep("30 days"),
    "a signal": (ctx) => ctx.signal("never"),
    several: (ctx) => Promise.all([ctx.sleep("30 days"), ctx.signal("never"), ctx.sleep("1 day")]),
    "a race": (ctx) => Promise.race([ctx.sleep("30 days"), ctx.signal("never")]),
  };

  it.each(Object.entries(waits))(
    "ends at once where it waits for %s, in memory or out of it",
    async (_, code) => {
      for (const afterMs of [0, 20_000]) {
        await using test = await started(code as never);
        const { cluster, handle } = test;
        await cluster.advance(afterMs);
        await handle.cancel("out of stock");
        const error = await cancelled(cluster, handle);
        expect(error).toBeInstanceOf(WorkflowCancelledError);
        expect(error).toMatchObject({ executionId: "1", reason: "out of stock" });
        await handle.cancel("again: nothing happens");
        expect(await handle.describe()).toMatchObject({ status: "cancelled" });
      }
    },
  );

  it("never runs its code if that had not begun", async () => {
    await using test = await started((ctx) => ctx.activities.note("ran"), { runners: 1 });
    const { cluster, log, Work } = test;
    await cluster.advance("1s");
    expect(log).toEqual(["ran"]);
    await cluster.crash(0);
    const starting = cluster.workflow(Work).start("2");
    await cluster.advance("1 minute");
    const handle = await starting;
    const cancelling = handle.cancel();
    await cluster.advance("1 minute");
    await cancelling;
    await cluster.restart(0);
    await cluster.advance("1 minute");
    await expect(handle.result()).rejects.toThrow(WorkflowCancelledError);
    expect(log).toEqual(["ran"]);
  });

  it("may clean up: the code is told once, and its further steps are done", async () => {
    await using test = await started(async (ctx) => {
      try {
        await ctx.sleep("30 days");
      } catch (error) {
        expect(error).toBeInstanceOf(WorkflowCancelledError);
        expect(ctx.cancelled.aborted).toBe(true);
        await ctx.activities.note("cleaned");
        await ctx.sleep("10s");
        await ctx.activities.note("up");
        throw error;
      }
    });
    const { cluster, log, handle } = test;
    await cluster.advance("2s");
    await handle.cancel("no more");
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(["cleaned", "up"]);
  });

  it("writes down one cancellation, however often it is asked for and it is replayed", async () => {
    const Slow = defineWorkflow<string, void>({ name: "Slow", key: (id) => id, hashKey: false });
    const slow = Slow.implement({
      execute: (ctx) => ctx.sleep("30 days").catch(() => ctx.sleep("1 minute")),
    });
    let written = 0;
    await using cluster = await createTestCluster({
      runners: 1,
      register: [slow],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(key, entries, ...rest) {
            written += entries.filter(({ kind }) => kind === "cancel").length;
            return workflows.appendJournal(key, entries, ...rest);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Slow).start("1");
    await cluster.advance("2s");
    await handle.cancel("no more");
    await cluster.advance("10s");
    await handle.cancel("once more");
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "completed" });
    expect(written).toBe(1);
  });

  it("may come to a result all the same", async () => {
    await using test = await started(async (ctx) => {
      await ctx.sleep("30 days").catch(() => undefined);
      return "done anyway";
    });
    const { cluster, handle } = test;
    await handle.cancel();
    await cluster.advance("10s");
    await expect(handle.result()).resolves.toBe("done anyway");
    expect(await handle.describe()).toMatchObject({ status: "completed" });
  });

  it("asks its activities to end, and starts no further attempt", async () => {
    await using test = await started((ctx) =>
      Promise.all([ctx.activities.patient("p"), ctx.activities.broken("b")]),
    );
    const { cluster, log, handle } = test;
    await cluster.advance("15s");
    expect(log).toEqual(["p began", "b#1", "b#2"]);
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(["p began", "b#1", "b#2"]);
  });

  it("hears of an activity that had its effect, and then of the cancellation", async () => {
    const seen: string[] = [];
    await using test = await started(async (ctx) => {
      seen.push(await ctx.activities.committed("c"));
      ctx.onCompensate("undo c", () => ctx.activities.note("c undone"));
      await ctx.activities.note("must not run");
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect([new Set(seen), log]).toEqual([new Set(["c"]), ["c began", "c undone"]]);
  });

  it("hears of it after its activity also where a race left a wait behind, which tells nobody", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("undo", () => ctx.activities.note("undone"));
      await Promise.race([ctx.sleep("1 hour"), ctx.sleep("2s")]);
      await ctx.activities.committed("c");
      await ctx.activities.note("must not run");
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    expect(log).toEqual(["c began"]);
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(["c began", "undone"]);
  });

  it("hears of it in the next run where the code continues as new after its activity", async () => {
    await using test = await started(async (ctx) => {
      await Promise.race([ctx.sleep("1 hour"), ctx.sleep("2s")]);
      await ctx.activities.committed("c");
      return ctx.continueAsNew("1");
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(["c began"]);
  });

  it("hears of it once from a wait beside its activity, where it cleans up at once", async () => {
    await using test = await started(async (ctx) => {
      const working = ctx.activities.committed("c");
      try {
        await Promise.race([working, ctx.sleep("1 hour")]);
      } catch (error) {
        await ctx.activities.note("cleaned");
        await working;
        await ctx.activities.note("up");
        throw error;
      }
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(["c began", "cleaned", "up"]);
  });

  it("hears of it once from a wait beside its activity, also where it awaits that before it cleans up", async () => {
    await using test = await started(async (ctx) => {
      const working = ctx.activities.committed("c");
      try {
        await Promise.race([working, ctx.sleep("1 hour")]);
      } catch (error) {
        await working;
        await ctx.activities.note("c undone");
        throw error;
      }
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect(new Set(log)).toEqual(new Set(["c began", "c undone"]));
  });

  it("hears what a call came to that it had sent, and of which nobody knew whether it was stored", async () => {
    let isAway = true;
    const heard: string[] = [];
    await using test = await started(
      async (ctx) => {
        heard.push(
          await ctx
            .entity(Sales, "s")
            .add(1)
            .then(
              () => "its result",
              (error: Error) => error.name,
            ),
        );
        await ctx.sleep("1 day");
      },
      {
        tamper: tampering(({ messages }) => ({
          messages: {
            async saveRequest(envelope, ...rest) {
              const saved = await messages.saveRequest(envelope, ...rest);
              if (isAway && envelope.tag === "add") throw inDoubt("saveRequest");
              return saved;
            },
            async lookUp(ids) {
              if (isAway) throw inDoubt("lookUp");
              return messages.lookUp(ids);
            },
          },
        })),
      },
    );
    const { cluster, log, handle } = test;
    await cluster.advance("10s");
    await handle.cancel();
    await cluster.advance("1 minute");
    expect(heard).toEqual([]);
    isAway = false;
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    expect([heard, log]).toEqual([["its result"], ["sold 1"]]);
  });

  it("takes those children with it that its code asks for in one go with the step that tells it", async () => {
    await using test = await started(async (ctx) => {
      await ctx.activities.committed("c");
      const children = ["a", "b", "c"].map((id) => ctx.child(Child).execute(id));
      try {
        await Promise.all(children);
      } catch (error) {
        await ctx.activities.note("cleaned");
        throw error;
      }
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    await cancelled(cluster, handle);
    await cluster.advance("20 minutes");
    expect(log).toContain("cleaned");
    for (const id of ["b", "c"])
      expect(
        await cluster
          .workflow(Child)
          .poll(id)
          .catch((error: unknown) => error),
      ).not.toBe(`${id} done`);
  });

  it("takes none of the children with it that clean up: of compensations, and of code that caught it", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("refund", () => ctx.child(Child).execute("refund"));
      try {
        await ctx.sleep("1 day");
      } catch (error) {
        const report = await ctx.child(Child).start("report");
        await ctx.child(Child).execute("clean");
        await report.result();
        throw error;
      }
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await handle.cancel();
    const ended = handle.result().catch((error: unknown) => error);
    await cluster.advance("20 minutes");
    expect(await ended).toMatchObject({ name: "WorkflowCancelledError", failedCompensations: [] });
    expect(new Set(log)).toEqual(new Set(["report began", "clean began", "refund began"]));
  });

  it("that comes while a compensation runs leaves its children alone", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("refund", () => ctx.child(Child).execute("refund"));
      throw new Error("no stock");
    });
    const { cluster, log, handle } = test;
    const ended = handle.result().catch((error: unknown) => error);
    await cluster.advance("5s");
    expect(log).toEqual(["refund began"]);
    await handle.cancel();
    await cluster.advance("10 minutes");
    expect(await ended).toMatchObject({ name: "WorkflowFailedError", failedCompensations: [] });
    expect(new Set(log)).toEqual(new Set(["refund began"]));
  });

  it("that comes while a compensation runs takes those with it that its code had asked for, also after a crash", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("wait", () => ctx.sleep("1 day"));
      await ctx.signal("go");
      const children = ["a", "b", "c"].map((id) => ctx.child(Child).start(id));
      await Promise.all([...children, ctx.run("fail", () => Promise.reject(new Error("no stock")))]);
    });
    const { cluster, log, handle, Child: Children } = test;
    await cluster.advance("1s");
    // What is sent arrives when the code has failed.
    cluster.faults({ delay: ["20ms", "20ms"] });
    const going = handle.signal("go", null);
    await cluster.advance("5s");
    await going;
    expect(log.toSorted()).toEqual(["a began", "b began", "c began"]);
    for (const runner of [0, 1, 2]) {
      await cluster.crash(runner);
      await cluster.restart(runner);
    }
    await cluster.advance("1 minute"); // runnerLockTtl is 30s
    await handle.cancel();
    await cluster.advance("10 minutes");
    expect(log).toEqual(expect.arrayContaining(["a undone", "b undone", "c undone"]));
    for (const id of ["a", "b", "c"])
      expect(await cluster.workflow(Children).get(id).describe()).toMatchObject({ status: "cancelled" });
  });

  it("compensates once a child has that an earlier copy started, of which nothing was recorded", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("last", () => ctx.activities.note("parent undone"));
      await ctx.child(Child).execute("c");
    });
    const { cluster, log, handle } = test;
    await cluster.advance("300ms");
    expect(log).toEqual(["c began"]);
    expect((await handle.exportJournal()).entries).toEqual([]);
    const host = cluster.runners.findIndex(({ member: { parts } }) =>
      parts.owner.owned.includes(parts.router.shardOf("default", "1")),
    );
    await cluster.crash(host);
    const cancelling = handle.cancel();
    await cluster.advance("1 minute"); // runnerLockTtl is 30s
    await cancelling;
    await cancelled(cluster, handle);
    expect(log.slice(-2)).toEqual(["c undone", "parent undone"]);
    const [child] = (await handle.describe()).steps;
    expect(child?.error?.message, "its end is what the step came to").toContain("c of Child");
  });

  it("takes its children with it, and not those that are detached", async () => {
    await using test = await started(async (ctx) => {
      await ctx.child(Child).start("detached", { detached: true });
      await ctx.child(Child).start("started");
      await Promise.all([
        ctx.child(Child).execute("executed"),
        ctx.child(Child).execute("d2", { detached: true }),
      ]);
    });
    const { cluster, log, handle, Child: Children } = test;
    await cluster.advance("30s");
    expect(log.toSorted()).toEqual(["d2 began", "detached began", "executed began", "started began"]);
    log.length = 0;
    await handle.cancel("enough");
    expect(await cancelled(cluster, handle)).toBeInstanceOf(WorkflowCancelledError);
    await cluster.advance("6 minutes");
    expect(log.filter((line) => line.endsWith("undone")).toSorted()).toEqual([
      "executed undone",
      "started undone",
    ]);
    const children = cluster.workflow(Children);
    for (const id of ["started", "executed"])
      await expect(children.get(id).result()).rejects.toMatchObject({
        name: "WorkflowCancelledError",
        reason: "enough",
      });
    for (const id of ["detached", "d2"]) await expect(children.get(id).result()).resolves.toBe(`${id} done`);
  });

  it.each([1, 2, 3, 4, 5, 6])(
    "comes to one end, with each effect once, under every fault, with seed %i",
    async (seed) => {
      await using test = await started(
        async (ctx) => {
          ctx.onCompensate("first", () => ctx.entity(Sales, "s").add(-1));
          await ctx.entity(Sales, "s").add(1);
          ctx.onCompensate("second", () => ctx.entity(Sales, "s").add(-2));
          await ctx.entity(Sales, "s").add(2);
          await ctx.child(Child).execute("c");
        },
        { seed },
      );
      const { cluster, log, handle, Child: Children } = test;
      cluster.faults({
        drop: 0.03,
        duplicate: 0.03,
        delay: ["0ms", "30ms"],
        storageErrorBeforeCommit: 0.04,
        storageErrorAfterCommit: 0.04,
      });
      await cluster.advance("20s");
      await cluster.crash(seed % 3);
      const cancel = (): Promise<void> => handle.cancel("no");
      const cancelling = cancel().catch(cancel).catch(cancel);
      await cluster.advance("40s");
      await cluster.restart(seed % 3);
      cluster.faults({});
      await cluster.advance("3 minutes");
      await cancelling;
      await expect(handle.result()).rejects.toThrow(WorkflowCancelledError);
      await expect(cluster.workflow(Children).get("c").result()).rejects.toThrow(WorkflowCancelledError);
      expect(log.filter((line) => line.startsWith("sold"))).toEqual([
        "sold 1",
        "sold 2",
        "sold -2",
        "sold -1",
      ]);
    },
  );
});

describe("compensation", () => {
  it("runs in reverse order when the code fails, its steps journaled, and a failed one keeps no other from running", async () => {
    await using test = await started(async (ctx) => {
      for (const n of [1, 2, 3]) {
        await ctx.activities.note(`do ${n}`);
        ctx.onCompensate(`undo ${n}`, async () => {
          await ctx.activities.note(`undo ${n}`);
          if (n === 2) throw new Error("it is stuck");
          await ctx.sleep("20s");
          await ctx.activities.note(`undone ${n}`);
        });
      }
      throw new RangeError("no luck");
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await cluster.crash(0);
    await cluster.advance("2 minutes");
    const error = await handle.result().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error).toMatchObject({ cause: { name: "RangeError", message: "no luck" } });
    expect(error).toMatchObject({ failedCompensations: [{ name: "undo 2", reason: "it is stuck" }] });
    expect(log).toEqual(["do 1", "do 2", "do 3", "undo 3", "undone 3", "undo 2", "undo 1", "undone 1"]);
    const { steps } = await handle.describe();
    expect(steps.filter(({ kind }) => kind === "compensate").map(({ name }) => name)).toEqual([
      "undo 3",
      "undo 2",
      "undo 1",
    ]);
  });

  it("does not run when the code succeeds", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("undo", () => ctx.activities.note("undone"));
      return "fine";
    });
    const { cluster, log, handle } = test;
    await cluster.advance("5s");
    await expect(handle.result()).resolves.toBe("fine");
    expect(log).toEqual([]);
  });

  it("waits for what is still at work, and branches that nobody awaits do not go on beside it", async () => {
    await using test = await started(async (ctx) => {
      ctx.onCompensate("undo", () => ctx.activities.note("undone"));
      const branch = async (): Promise<void> => {
        await ctx.activities.committed("slow");
        await ctx.activities.note("a branch went on");
      };
      await Promise.all([branch(), ctx.run("fails", () => Promise.reject(new Error("no")))]);
    });
    const { cluster, log, handle } = test;
    await cluster.advance("20s");
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(log).toEqual(["slow began", "undone"]);
  });
});

it("a compensation that throws what cannot be made a text keeps none of the others from running", async () => {
  const Trip = defineWorkflow<string, void>({ name: "Trip", key: (id) => id });
  const undone: string[] = [];
  const trip = Trip.implement({
    execute(ctx) {
      ctx.onCompensate("first", () => void undone.push("first"));
      ctx.onCompensate("second", () => {
        throw Object.create(null);
      });
      return Promise.reject(new Error("no seats"));
    },
  });
  await using cluster = await createTestCluster({ register: [trip] });
  const result = cluster.workflow(Trip).execute("t");
  await expect(result).rejects.toThrow(WorkflowFailedError);
  await expect(result).rejects.toThrow("no seats");
  expect(undone).toEqual(["first"]);
});
