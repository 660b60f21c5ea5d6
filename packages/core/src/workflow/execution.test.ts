import { describe, expect, it } from "vitest";
import { Echo } from "../../test/execution-stage.ts";
import { ExecutionStage, type Fault, type Program, type StageContext } from "../../test/execution-stage.ts";

/** Each is run without a fault, and then with each fault at each of its writes. Time decides no race in two ways. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  "a sequence": async (ctx, stage) => {
    stage.trace.push(await ctx.activities.commit("a"));
    stage.trace.push(await ctx.activities.take("b", 10));
    stage.trace.push(await ctx.activities.commit("c"));
    return "done";
  },
  "Promise.all": async (ctx, stage) => {
    const all = await Promise.all([
      ctx.activities.commit("a", 30),
      ctx.activities.take("b", 10),
      ctx.activities.commit("c", 20),
    ]);
    stage.trace.push(...all, await ctx.activities.commit("d"));
    return all;
  },
  "Promise.race, whose loser goes on": async (ctx, stage) => {
    const first = await Promise.race([ctx.activities.take("slow", 900), ctx.activities.commit("fast")]);
    stage.trace.push(first, await ctx.activities.commit(`after ${first}`));
    return first;
  },
  "Promise.any, past a failure": async (ctx, stage) => {
    const any = await Promise.any([
      ctx.activities.broken("x"),
      ctx.activities.commit("y", 5),
      ctx.activities.take("z", 900),
    ]);
    stage.trace.push(any, await ctx.activities.commit(`after ${any}`));
    return any;
  },
  "Promise.allSettled": async (ctx, stage) => {
    const settled = await Promise.allSettled([
      ctx.activities.broken("x", 20),
      ctx.activities.commit("y", 10),
      ctx.sleep(500),
    ]);
    stage.trace.push(...settled.map(({ status }) => status), await ctx.activities.commit("z"));
    return settled.map((each) => (each.status === "rejected" ? describeError(each.reason) : each.value));
  },
  "a loop with sleeps": async (ctx, stage) => {
    for (let round = 1; round <= 3; round += 1) {
      const before = ctx.now();
      await ctx.sleep("1 hour");
      expect(ctx.now() - before, "a sleep ended early (INV-7)").toBeGreaterThanOrEqual(3_600_000);
      stage.trace.push(await ctx.activities.commit(`round ${round}`));
    }
    return "done";
  },
  "a failing activity in try and catch": async (ctx, stage) => {
    try {
      await ctx.activities.broken("x");
    } catch (error) {
      stage.trace.push(describeError(error), await ctx.activities.commit("repair"));
    } finally {
      stage.trace.push(await ctx.activities.commit("finally"));
    }
    return "done";
  },
  "retries with back-off": async (ctx, stage) => {
    stage.trace.push(await ctx.activities.flaky("f", 3));
    stage.trace.push(await ctx.activities.flakyCommit("g", 2));
    return "done";
  },
  "retries that run out": async (ctx, stage) => {
    const error = await ctx.activities.flaky("f", 9).then(() => null, describeError);
    stage.trace.push(String(error), await ctx.activities.commit("after"));
    return error;
  },
  "retries beside each other": async (ctx, stage) => {
    const all = await Promise.all([
      ctx.activities.flaky("f", 2),
      ctx.activities.flakyCommit("g", 3),
      ctx.sleep("2s"),
    ]);
    stage.trace.push(...all.map(String));
    return "done";
  },
  "inline activities": async (ctx, stage) => {
    let failures = 0;
    const n = await ctx.run("n", () => 5);
    const tried = await ctx.run("tried", { retries: 2, initialInterval: 10 }, ({ attempt }) => {
      failures += 1;
      if (attempt < 3) throw new Error(`no ${failures}`);
      return { attempt, at: new Date(n) };
    });
    stage.trace.push(String(n), JSON.stringify(tried), await ctx.activities.commit("c"));
    return [n, tried];
  },
  "time, chance and ids": async (ctx, stage) => {
    stage.trace.push(String(ctx.random()), ctx.uuid());
    const before = ctx.now();
    await ctx.activities.commit("a");
    await ctx.sleep("2s");
    expect(ctx.now() - before).toBeGreaterThanOrEqual(2_000);
    stage.trace.push(String(ctx.random()), ctx.uuid(), ctx.executionId);
    await ctx.activities.commit("b");
    return "done";
  },
  "nested functions with branches of their own": async (ctx, stage) => {
    const branch = async (name: string, pause: number): Promise<string> => {
      const one = await ctx.activities.commit(`${name}1`, pause);
      await ctx.sleep(pause);
      const two = await ctx.activities.take(`${name}2`, pause);
      const three = await ctx.activities.commit(`${name}3`);
      return [one, two, three].join("+");
    };
    const all = await Promise.all([branch("a", 10), branch("b", 25), branch("c", 1_500)]);
    stage.trace.push(...all);
    return all;
  },
  "calls of entities": async (ctx, stage) => {
    const one = await callEntity(ctx, { n: 1 });
    const two = await Promise.all([callEntity(ctx, { n: 2 }), callEntity(ctx, { n: 3 })]);
    stage.trace.push(JSON.stringify([one, two]), await ctx.activities.commit("c"));
    return [one, two];
  },
  "an execution that fails": async (ctx) => {
    await ctx.activities.commit("a");
    await ctx.sleep("1 minute");
    throw new RangeError("out of stock");
  },
  "values that JSON would lose": async (ctx, stage) => {
    const value = {
      at: new Date(5),
      n: 5n,
      none: [undefined],
      map: new Map([[1, new Set(["x"])]]),
      nan: Number.NaN,
    };
    const got = await ctx.run("value", () => value);
    expect(got).toEqual(value);
    expect(got, "the code gets what replay would give it (E2)").not.toBe(value);
    stage.trace.push(String(await ctx.run("nothing", () => undefined)));
    return got;
  },
};

const FAULTS: readonly Fault[] = [
  "crash-before",
  "crash-after",
  "not-written",
  "unknown-written",
  "unknown-lost",
  "fenced",
];

describe.each(Object.entries(PROGRAMS))("an execution of %s", (_name, program) => {
  it("replays to the same end and does nothing again (INV-8)", async () => {
    const stage = new ExecutionStage(program);
    const end = await stage.run();
    expect(end.type).toBe(program === PROGRAMS["an execution that fails"] ? "failed" : "completed");
    const { trace } = stage;
    expect(await stage.replay()).toEqual({ end, trace, writes: 0, attempts: 0 });
  });

  it.each(FAULTS)("comes to the same end after the fault %s at any of its writes", async (fault) => {
    const calm = new ExecutionStage(program);
    const end = await calm.run();
    const { trace } = calm;
    for (let write = 1; write <= calm.writes; write += 1) {
      const stage = new ExecutionStage(program);
      stage.faults.set(write, fault);
      const at = `write ${write}`;
      expect(await stage.run(), at).toEqual(end);
      expect(stage.trace, at).toEqual(trace);
      expect(stage.committed.toSorted(), `${at} (INV-3)`).toEqual(calm.committed.toSorted());
      // The last entry and the reply share one commit: an execution is not run again for want of its last entry.
      if (stage.lostItsEnd) continue;
      expect(outlineOf(stage), at).toEqual(outlineOf(calm));
      expect(await stage.replay(), `${at} (INV-8)`).toEqual({ end, trace, writes: 0, attempts: 0 });
    }
  });

  it("comes to the same end when it crashes after each of its writes", async () => {
    const calm = new ExecutionStage(program);
    const end = await calm.run();
    const stage = new ExecutionStage(program);
    for (let write = 1; write <= 200; write += 1) stage.faults.set(write, "crash-after");
    expect(await stage.run()).toEqual(end);
    expect(stage.committed.toSorted()).toEqual(calm.committed.toSorted());
    expect(outlineOf(stage)).toEqual(outlineOf(calm));
  });
});

/**
 * What is recorded, whatever the order in which steps beside each other were asked for and ended. That an activity had begun says no
 * more than that (journal.ts, J6).
 */
function outlineOf(stage: ExecutionStage): readonly string[] {
  return stage.journal
    .filter(({ kind, event }) => kind !== "activity" || event.type !== "begun")
    .map(({ kind, name, event }) => {
      const attempt = event.type === "attempt-failed" ? ` ${event.attempt}` : "";
      return `${kind} ${name} ${event.type}${attempt}`;
    })
    .toSorted();
}

function describeError(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : "no error";
}

function callEntity(ctx: StageContext, input: unknown): Promise<unknown> {
  return ctx.entity(Echo, "e").echo(input);
}
