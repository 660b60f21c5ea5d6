import { Buffer } from "node:buffer";
import {
  activity,
  ConfigError,
  defineEntity,
  defineWorkflow,
  ExecutionStateError,
  RemoteError,
  rpc,
  UnknownExecutionError,
  WorkflowCancelledError,
  WorkflowFailedError,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { tampering } from "./tampering.ts";

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const got: Item[] = [];
  for await (const item of items) got.push(item);
  return got;
}

const Job = defineWorkflow({
  name: "Job",
  input: z.object({ id: z.string(), does: z.enum(["end", "fail", "sleep"]), tenant: z.string() }),
  output: z.string(),
  key: ({ id }) => id,
  hashKey: false,
});
const job = Job.implement({
  async execute(ctx, { id, does, tenant }) {
    ctx.setAttributes({ tenant, size: id.length, urgent: false });
    if (does === "sleep") await ctx.sleep("1 hour");
    ctx.setAttributes({ urgent: null, done: true });
    if (does === "fail") throw new Error(`${id} cannot be done`);
    return `${id} is done`;
  },
});

describe("the list of executions", () => {
  it("has all that match, the newest first, by status, time and attributes", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [job] });
    const jobs = cluster.workflow(Job);
    for (const [index, does] of (["end", "fail", "sleep", "end", "sleep"] as const).entries()) {
      await jobs.start({ id: `job-${index}`, does, tenant: index < 3 ? "a" : "b" });
      await cluster.advance("1s");
    }
    const middle = new Date(cluster.now() - 2_500);
    await jobs.get("job-4").cancel();
    await cluster.advance("5s");
    const ids = async (filter: Parameters<typeof jobs.list>[0]): Promise<string[]> =>
      (await all(jobs.list(filter))).map(({ executionId }) => executionId);
    expect(await ids({})).toEqual(["job-4", "job-3", "job-2", "job-1", "job-0"]);
    expect(await ids({ limit: 2 })).toEqual(["job-4", "job-3"]);
    expect(await ids({ limit: 0 })).toEqual([]);
    expect(await ids({ status: "completed" })).toEqual(["job-3", "job-0"]);
    expect(await ids({ status: "failed" })).toEqual(["job-1"]);
    expect(await ids({ status: "suspended" })).toEqual(["job-2"]);
    expect(await ids({ status: "cancelled" })).toEqual(["job-4"]);
    expect(await ids({ status: "running" })).toEqual([]);
    expect(await ids({ startedAfter: middle })).toEqual(["job-4", "job-3"]);
    expect(await ids({ startedBefore: middle })).toEqual(["job-2", "job-1", "job-0"]);
    expect(await ids({ attributes: { tenant: "a" } })).toEqual(["job-2", "job-1", "job-0"]);
    expect(await ids({ attributes: { tenant: "a", done: true } })).toEqual(["job-1", "job-0"]);
    expect(await ids({ attributes: { urgent: false } })).toEqual(["job-4", "job-2"]);
    expect(await ids({ attributes: { size: "5" } })).toEqual([]);
    await expect(ids({ status: "runing" as never })).rejects.toThrow(ConfigError);
    await expect(ids({ startedAfter: new Date(Number.NaN) })).rejects.toThrow(ConfigError);
  });

  it("reads page after page", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [job] });
    const jobs = cluster.workflow(Job);
    for (let n = 0; n < 250; n += 1) await jobs.start({ id: `job-${n}`, does: "end", tenant: "a" });
    await cluster.advance("5s");
    const listed = (await all(jobs.list({ attributes: { tenant: "a" } }))).map(
      ({ executionId }) => executionId,
    );
    expect(listed).toEqual(Array.from({ length: 250 }, (_, n) => `job-${249 - n}`));
    expect(await all(jobs.list({ limit: 120 }))).toHaveLength(120);
  });
});

describe("an attribute", () => {
  it.each([
    ["", 1],
    ["x".repeat(257), 1],
    ["a", "x".repeat(1_100)],
    ["a", "nul \0"],
    ["a", "half \ud800"],
    ["a", Number.NaN],
    ["a", { nested: 1 }],
  ])("%j with the value %j is refused where it is set", async (name, value) => {
    const Bad = defineWorkflow<void, string>({ name: "Bad" });
    const bad = Bad.implement({
      async execute(ctx) {
        try {
          ctx.setAttributes({ [name]: value as string });
          return "taken";
        } catch (error) {
          return error instanceof ConfigError ? "refused" : String(error);
        }
      },
    });
    await using cluster = await createTestCluster({ register: [bad] });
    await expect(cluster.workflow(Bad).execute()).resolves.toBe("refused");
  });
});

it("attributes are those that an object has, whatever its toJSON gives", async () => {
  const Odd = defineWorkflow<void, string>({ name: "Odd" });
  const odd = Odd.implement({
    async execute(ctx) {
      class Attributes {
        [name: string]: string | (() => unknown);
        tenant = "a";
        toJSON(): unknown {
          return undefined;
        }
      }
      ctx.setAttributes(new Attributes() as never);
      return "done";
    },
  });
  await using cluster = await createTestCluster({ register: [odd] });
  const handle = await cluster.workflow(Odd).start();
  await expect(handle.result()).resolves.toBe("done");
  expect((await handle.describe())?.attributes).toEqual({ tenant: "a" });
});

describe("what is known of an execution", () => {
  it("is its input, its status, its times, its attributes and its steps", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [job] });
    const began = cluster.now();
    const handle = await cluster.workflow(Job).start({ id: "j", does: "sleep", tenant: "a" });
    await cluster.advance("10s");
    const asleep = await handle.describe();
    expect(asleep).toMatchObject({
      executionId: "j",
      workflow: "Job",
      status: "suspended",
      input: { id: "j", does: "sleep", tenant: "a" },
      attributes: { tenant: "a", size: 1, urgent: false },
      startedAt: new Date(began),
    });
    expect(asleep.wakesAt?.getTime()).toBeGreaterThanOrEqual(began + 3_600_000);
    expect(asleep).not.toHaveProperty("endedAt");
    expect(asleep.steps).toMatchObject([
      {
        position: 0,
        kind: "attributes",
        status: "completed",
        result: { tenant: "a", size: 1, urgent: false },
      },
      { position: 1, kind: "sleep", name: "sleep", status: "waiting", dueAt: asleep.wakesAt },
    ]);
    await handle.cancel("enough");
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({
      status: "cancelled",
      error: { name: "WorkflowCancelledError" },
      endedAt: expect.any(Date),
    });
    await expect(cluster.workflow(Job).get("nobody").describe()).rejects.toThrow(UnknownExecutionError);
  });
});

describe("the steps of an execution", () => {
  it("show what is at work and what it waits for, in memory and out of it", async () => {
    let goOn = (): void => undefined;
    const Busy = defineWorkflow<string, void>({ name: "Busy", key: (id) => id, hashKey: false });
    const busy = Busy.implement({
      async execute(ctx) {
        await Promise.all([
          ctx.run("slow", () => new Promise<void>((resolve) => (goOn = resolve))),
          ctx.signal("never"),
        ]);
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [busy] });
    const handle = await cluster.workflow(Busy).start("b");
    await cluster.advance("5s");
    const shown = async (): Promise<readonly string[]> =>
      (await handle.describe()).steps.map(({ name, status }) => `${name} ${status}`);
    expect(await shown()).toEqual(["slow running", "never waiting"]);
    goOn();
    await cluster.advance("5s");
    expect((await handle.describe()).status).toBe("suspended");
    expect(await shown()).toEqual(["slow completed", "never waiting"]);
  });

  it("say of an activity's second attempt that it is at work", async () => {
    const Trip = defineWorkflow<void, void>({ name: "Trip", key: () => "1" });
    const trip = Trip.implement({
      activities: {
        book: activity({ retries: 3 }, async ({ attempt }) => {
          if (attempt === 1) throw new Error("busy");
          await new Promise(() => undefined);
        }),
      },
      execute: (ctx) => ctx.activities.book(),
    });
    await using cluster = await createTestCluster({ runners: 1, register: [trip] });
    const handle = await cluster.workflow(Trip).start();
    await cluster.advance("1 minute");
    const { steps } = await handle.describe();
    expect(steps).toMatchObject([{ status: "running", attempts: 1 }]);
    expect(steps[0]).not.toHaveProperty("dueAt");
  });
});

describe("a result that cannot be kept", () => {
  it.each([
    ["does not fit its schema", 5, /The result of Bad does not fit its schema/],
    ["is no data", () => 1, /function/],
    ["is too large", "x".repeat(2_000), /too large|bytes/],
  ])("fails the execution, which is compensated, if it %s", async (_what, result, message) => {
    const log: string[] = [];
    const Bad = defineWorkflow({
      name: "Bad",
      output: z.union([z.string(), z.custom<() => number>((value) => typeof value === "function")]),
    });
    const bad = Bad.implement({
      async execute(ctx) {
        ctx.onCompensate("undo", () => void log.push("undone"));
        return result as string;
      },
    });
    await using cluster = await createTestCluster({ register: [bad], maxPayloadBytes: 1_024 });
    const error = await cluster
      .workflow(Bad)
      .execute()
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as Error).message).toMatch(message);
    expect(log).toEqual(["undone"]);
  });
});

describe("the error of a failed execution", () => {
  const Doomed = defineWorkflow<string, string>({ name: "Doomed" });
  const errorOf = async (call: Promise<unknown>): Promise<Error> => {
    const error: unknown = await call.catch((reason: unknown) => reason);
    if (!(error instanceof Error)) throw new Error("It was not rejected");
    return error;
  };

  it.each([
    ["undefined", undefined, "Something that is not an Error was thrown: undefined"],
    ["a text", "out of paper", 'Something that is not an Error was thrown: "out of paper"'],
    ["an Error without a message", new TypeError(), "TypeError"],
  ])("says why where the code threw %s, and has a cause", async (_what, thrown, why) => {
    const failing = Doomed.implement({
      execute: async () => {
        throw thrown;
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    const error = await errorOf(handle.result());
    expect(error.message).toContain(`failed: ${why}. Mend`);
    expect(error.cause).toBeInstanceOf(RemoteError);
    expect((await handle.describe()).error).toMatchObject({ cause: { name: (error.cause as Error).name } });
  });

  it("says what Promise.any was rejected with", async () => {
    const failing = Doomed.implement({
      execute: (ctx) =>
        Promise.any(
          ["north", "south"].map((bank) =>
            ctx.run(bank, (): string => {
              throw Object.assign(new Error(`${bank} is closed`), { code: "CLOSED" });
            }),
          ),
        ),
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    expect((await errorOf(handle.result())).cause).toMatchObject({
      name: "AggregateError",
      data: {
        errors: [
          { name: "Error", message: "north is closed", code: "CLOSED" },
          { name: "Error", message: "south is closed", code: "CLOSED" },
        ],
      },
    });
  });

  it("says whose it is, its cause and what was not undone, however large the cause is", async () => {
    const long = `insert of ${"x".repeat(60_000)}`;
    const failing = Doomed.implement({
      execute: async (ctx) => {
        for (const name of ["take it back", "tell them"])
          ctx.onCompensate(name, () => {
            throw new Error(long);
          });
        throw Object.assign(new Error(long), { code: 7, rows: [long], table: "payments" });
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 100_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    const error = await errorOf(handle.result());
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/too large.*The execution .* of Doomed failed: insert of x/),
      executionId: handle.executionId,
      failedCompensations: ["tell them", "take it back"].map((name) => ({
        name,
        reason: expect.stringMatching(/^insert of x{1,2000}…$/),
      })),
      cause: {
        name: "Error",
        code: "7",
        message: expect.stringMatching(/^insert of x{1,200}…$/),
        data: { table: "payments", code: 7 },
      },
    });
    expect(error.cause).not.toHaveProperty("data.rows");
  });

  it("has all of its causes where they fit without their fields", async () => {
    const failing = Doomed.implement({
      execute: async () => {
        let error = new Error("the first");
        for (let level = 1; level <= 7; level += 1)
          error = Object.assign(new Error("x".repeat(2_000), { cause: error }), { detail: "漢".repeat(100) });
        throw error;
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 4_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    let first = await errorOf(handle.result());
    while (first.cause instanceof Error) first = first.cause;
    expect(first.message).toBe("the first");
  });

  it("is whole where it fits without its stacks", async () => {
    const failing = Doomed.implement({
      execute: async () => {
        throw new Error("x".repeat(1_000));
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 3_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    const error = await errorOf(handle.result());
    expect(error.message).toMatch(/^The execution .* of Doomed failed: x{1000}\. Mend/);
    expect(error.cause).toMatchObject({ message: "x".repeat(1_000) });
  });

  it("is measured in bytes, as what carries it does", async () => {
    const failing = Doomed.implement({
      execute: async () => {
        throw new Error("漢".repeat(1_000));
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 5_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    expect((await errorOf(handle.result())).message).toMatch(/was too large to send/);
  });

  it("tells the step to resume at, however large it is", async () => {
    const done: string[] = [];
    let isBroken = true;
    const failing = Doomed.implement({
      execute: async (ctx) => {
        const attempt = (name: string): Promise<string> =>
          ctx.run(name, () => {
            done.push(name);
            if (isBroken) throw new Error(`${name} ${"x".repeat(2_000)}`);
            return name;
          });
        await attempt("first bank").catch(() => undefined);
        return attempt("second bank");
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 3_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    expect((await handle.describe()).status).toBe("failed");
    isBroken = false;
    await handle.resume();
    await cluster.advance("1s");
    await expect(handle.result()).resolves.toBe("second bank");
    expect(done).toEqual(["first bank", "second bank", "second bank"]);
  });
});

describe("a listing of executions", () => {
  it.each([
    ["small", 10, [10, 100]],
    ["large", 1_000_000, [10, 8, 8, 8]],
  ])("reads pages that have room in memory: of %s inputs", async (_what, size, pages) => {
    const Kept = defineWorkflow<string, void>({ name: "Kept" });
    const kept = Kept.implement({ execute: async () => undefined });
    const asked: number[] = [];
    await using cluster = await createTestCluster({
      register: [kept],
      seed: 1,
      tamper: tampering(({ workflows }) => ({
        workflows: {
          listExecutions(query) {
            if (query.executionId === null) asked.push(query.limit);
            return workflows.listExecutions(query);
          },
        },
      })),
    });
    for (let number = 10; number < 40; number += 1)
      await cluster.workflow(Kept).start(`${number}${"x".repeat(size)}`);
    const found: string[] = [];
    for await (const { input } of cluster.workflow(Kept).list()) found.push(input.slice(0, 2));
    expect(found.toSorted()).toEqual(Array.from({ length: 30 }, (_, index) => `${index + 10}`));
    expect(asked).toEqual(pages);
  });
});

describe("an error in a journal", () => {
  const Doomed = defineWorkflow<string, string>({ name: "Doomed" });
  const LARGE = `The bank said ${"漢".repeat(40_000)}`;
  const cut = (error: unknown): void => {
    expect(error).toMatchObject({
      name: "RangeError",
      code: "E_BANK",
      message: expect.stringMatching(
        /^An error was too large to record .* It began: The bank said 漢{1,200}…$/u,
      ),
      data: { bank: "north" },
    });
  };

  it("takes no more than a payload may, at each attempt and at the end, and is the same live and in replay", async () => {
    const caught: unknown[] = [];
    const failing = Doomed.implement({
      async execute(ctx) {
        const failed = await ctx
          .run("pay", { retries: 2, initialInterval: "1s" }, (): string => {
            throw Object.assign(new RangeError(LARGE), { code: "E_BANK", bank: "north", response: LARGE });
          })
          .catch((error: unknown) => error);
        caught.push(failed);
        await ctx.sleep("1 hour");
        return "went on";
      },
    });
    await using cluster = await createTestCluster({ register: [failing], seed: 1, maxPayloadBytes: 20_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1 minute");
    const { entries } = await handle.exportJournal();
    const recorded = entries.filter(({ name }) => name === "pay");
    expect(recorded.map(({ event }) => event.type)).toEqual(["attempt-failed", "attempt-failed", "failed"]);
    for (const entry of recorded) expect(Buffer.byteLength(JSON.stringify(entry.event))).toBeLessThan(20_500);
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("2 hours");
    await expect(handle.result()).resolves.toBe("went on");
    expect(caught).toHaveLength(2);
    for (const error of caught) cut(error);
  });
});

describe("a cancelled execution", () => {
  it("has its id, a reason and what was not undone, however long the reason is", async () => {
    const Doomed = defineWorkflow<string, string>({ name: "Doomed" });
    const waiting = Doomed.implement({
      async execute(ctx) {
        ctx.onCompensate("take it back", () => {
          throw new Error("it is spent");
        });
        await ctx.sleep("1 hour");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ register: [waiting], seed: 1, maxPayloadBytes: 20_000 });
    const handle = await cluster.workflow(Doomed).start("a");
    await cluster.advance("1s");
    await handle.cancel(`It is over ${"x".repeat(15_000)}`);
    await cluster.advance("1s");
    const error: unknown = await handle.result().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkflowCancelledError);
    expect(error).toMatchObject({
      executionId: handle.executionId,
      reason: expect.stringMatching(/^It is over x{1,200}…$/),
      failedCompensations: [{ name: "take it back", reason: "it is spent" }],
    });
  });
});

describe("a failed execution", () => {
  /** A workflow that fails where the test says so. */
  function flaky() {
    const log: string[] = [];
    const keys: string[] = [];
    const broken = new Set<string>();
    const Trip = defineWorkflow<string, string[]>({ name: "Trip", key: (id) => id, hashKey: false });
    const trip = Trip.implement({
      activities: {
        book: activity(async (ctx, what: string) => {
          if (!keys.includes(ctx.idempotencyKey)) keys.push(ctx.idempotencyKey);
          log.push(`${what} ${keys.indexOf(ctx.idempotencyKey)}`);
          if (broken.has(what)) throw new Error(`no ${what}`);
          return what;
        }),
        report: activity(async (_ctx, what: string) => void log.push(what)),
      },
      async execute(ctx) {
        const early = await ctx.activities.book("visa").catch(() => "no visa");
        try {
          const rest = await Promise.all([ctx.activities.book("flight"), ctx.activities.book("hotel")]);
          if (broken.has("code")) throw new Error("a mistake in the code");
          return [early, ...rest];
        } catch (error) {
          await ctx.activities.report("failed");
          throw error;
        }
      },
    });
    return { log, broken, Trip, trip };
  }

  it("goes on from its last good step when it is resumed, under the same keys", async () => {
    const { log, broken, Trip, trip } = flaky();
    await using cluster = await createTestCluster({ runners: 3, register: [trip] });
    broken.add("visa").add("hotel");
    const handle = await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(log).toEqual(["visa 0", "flight 1", "hotel 2", "failed"]);
    await handle.resume();
    await cluster.advance("5s");
    await expect(handle.result(), "it fails again").rejects.toThrow(/no hotel/);
    expect(log.slice(4)).toEqual(["hotel 2", "failed"]);
    broken.clear();
    const resumed = handle.resume();
    await resumed;
    expect((await handle.describe()).status).not.toBe("failed");
    await cluster.advance("5s");
    await expect(handle.result()).resolves.toEqual(["no visa", "flight", "hotel"]);
    expect(log.slice(6), "what was good is not done again").toEqual(["hotel 2"]);
    await expect(handle.resume()).rejects.toThrow(ExecutionStateError);
  });

  it.each<[string, (steps: Promise<number>[]) => Promise<unknown>]>([
    ["Promise.any", (steps) => Promise.any(steps.slice(1))],
    [
      "Promise.allSettled",
      async (steps) => {
        const settled = await Promise.allSettled(steps);
        if (settled.some(({ status }) => status === "rejected")) throw new Error("some failed");
      },
    ],
    [
      "a catch",
      (steps) =>
        Promise.all(steps).catch(() => {
          throw new Error("it could not be placed");
        }),
    ],
  ])("does the failed steps anew of which %s made another error", async (_name, outcomeOf) => {
    let isDown = true;
    const ran: number[] = [];
    const Parts = defineWorkflow<string, string>({ name: "Parts", key: (id) => id });
    const parts = Parts.implement({
      activities: {
        part: activity({ retries: 0 }, async (_ctx, n: number) => {
          ran.push(n);
          if (isDown && n > 0) throw new Error(`part ${n} is down`);
          return n;
        }),
      },
      async execute(ctx) {
        await outcomeOf([0, 1, 2].map((n) => ctx.activities.part(n)));
        return "done";
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [parts] });
    const handle = await cluster.workflow(Parts).start("p");
    await cluster.advance("5s");
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    isDown = false;
    ran.splice(0);
    await handle.resume();
    await cluster.advance("5s");
    await expect(handle.result()).resolves.toBe("done");
    expect(
      ran.toSorted((a, b) => a - b),
      "what was good is not done again",
    ).toEqual([1, 2]);
  });

  it("of which the code is at fault goes on where it threw, with fixed code", async () => {
    const { log, broken, Trip, trip } = flaky();
    await using cluster = await createTestCluster({ runners: 3, register: [trip] });
    broken.add("code");
    const handle = await cluster.workflow(Trip).start("t");
    await cluster.advance("5s");
    await expect(handle.result()).rejects.toThrow(/a mistake/);
    // What the code did about the error stays in the journal: the fixed code would have to do it, too.
    broken.clear();
    await handle.resume();
    await cluster.advance("5s");
    expect(await handle.poll()).toBeUndefined();
    expect((await handle.describe()).waitsForCode).toMatch(/report/);
    expect(log).toHaveLength(4);
  });

  it("that was compensated is not resumed, nor one that was cancelled or goes on", async () => {
    const Saga = defineWorkflow<string, void>({ name: "Saga", key: (id) => id, hashKey: false });
    const saga = Saga.implement({
      async execute(ctx, id) {
        ctx.onCompensate("undo", () => ctx.run("undo", () => null));
        if (id === "fails") throw new Error("no");
        await ctx.sleep("10 minutes");
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [saga] });
    const sagas = cluster.workflow(Saga);
    const failed = await sagas.start("fails");
    const asleep = await sagas.start("sleeps");
    await cluster.advance("5s");
    await expect(failed.resume()).rejects.toThrow(/compensations have run/);
    await expect(asleep.resume()).rejects.toThrow(ExecutionStateError);
    await asleep.cancel();
    await cluster.advance("5s");
    await expect(asleep.resume()).rejects.toThrow(/cancelled/);
    await expect(sagas.get("nobody").resume()).rejects.toThrow(UnknownExecutionError);
  });
});

describe("a fork", () => {
  it("takes over the steps before the one it begins at, with their results and chance, and does the rest anew", async () => {
    const log: string[] = [];
    const Dice = defineWorkflow<string, unknown[]>({ name: "Dice", key: (id) => id, hashKey: false });
    const dice = Dice.implement({
      async execute(ctx, id) {
        const uuid = ctx.uuid();
        const results = [];
        for (const n of [1, 2, 3])
          results.push(await ctx.run(`throw ${n}`, () => (log.push(`${n}`), log.length)));
        return [id, uuid, ctx.uuid(), ...results];
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [dice] });
    const origin = await cluster.workflow(Dice).start("d");
    await cluster.advance("5s");
    const [id, first, second, ...thrown] = await origin.result();
    expect(thrown).toEqual([1, 2, 3]);
    const fork = await origin.fork({ fromStep: 2 });
    await cluster.advance("5s");
    expect(fork.executionId).not.toBe("d");
    const [, sameFirst, otherSecond, ...again] = await fork.result();
    expect([sameFirst, ...again], "what came before it is the origin's").toEqual([first, 1, 2, 4]);
    expect(otherSecond, "an id for what is done anew").not.toBe(second);
    expect(log).toEqual(["1", "2", "3", "3"]);
    await expect(origin.result(), "the origin stays as it was").resolves.toEqual([
      id,
      first,
      second,
      1,
      2,
      3,
    ]);
    const named = await fork.fork({ fromStep: 0, executionId: "again" });
    await cluster.advance("5s");
    const [, ...ofNamed] = await named.result();
    expect(ofNamed.slice(2)).toEqual([5, 6, 7]);
    expect(new Set([first, second, otherSecond, ...ofNamed.slice(0, 2)]).size).toBe(5);
    // What had not begun is begun anew.
    const early = await cluster.workflow(Dice).start("early");
    await expect(early.fork({ fromStep: 0, executionId: "later" })).resolves.toMatchObject({
      executionId: "later",
    });
    for (const fromStep of [-1, 4, 1.5]) await expect(origin.fork({ fromStep })).rejects.toThrow(ConfigError);
  });

  it("of an execution that continued as new begins with the input of its last run", async () => {
    const ran: string[] = [];
    const Loop = defineWorkflow<number, string>({ name: "Loop", key: () => "loop", hashKey: false });
    const loop = Loop.implement({
      async execute(ctx, n) {
        await ctx.run("round", () => void ran.push(`${ctx.executionId === "loop" ? "" : "forked "}${n}`));
        return n < 3 ? ctx.continueAsNew(n + 1) : ctx.run("end", () => `ended at ${n}`);
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [loop] });
    const origin = await cluster.workflow(Loop).start(1);
    await cluster.advance("5s");
    await expect(origin.result()).resolves.toBe("ended at 3");
    const fork = await origin.fork({ fromStep: 1 });
    await cluster.advance("5s");
    await expect(fork.result()).resolves.toBe("ended at 3");
    expect(ran).toEqual(["1", "2", "3"]);
  });
});

describe("the options of what is asked of executions", () => {
  /** As plain JavaScript comes, past the types. */
  type Asked = (options: unknown) => Promise<unknown>;
  type Inside = (ctx: WorkflowContext) => Promise<unknown>;
  const Desk = defineEntity({ name: "Desk", rpcs: { ask: rpc<void, void>({ persisted: true }) } });

  it.each([null, 5, { limits: 1 }])("are refused with ConfigError where they are %j", async (options) => {
    await using cluster = await createTestCluster({ runners: 1, register: [job] });
    const jobs = cluster.workflow(Job);
    const input = { id: "job", does: "end", tenant: "a" } as const;
    const handle = await jobs.start(input);
    await cluster.advance("1s");
    const asked: Readonly<Record<string, Asked>> = {
      list: (given) => all(jobs.list(given as object)),
      execute: (given) => jobs.execute(input, given as object),
      start: (given) => jobs.start(input, given as object),
      result: (given) => handle.result(given as object),
      signal: (given) => handle.signal("any" as never, undefined, given as object),
      fork: (given) => handle.fork(given as { fromStep: number }),
    };
    for (const [name, ask] of Object.entries(asked))
      await expect(ask(options), name).rejects.toThrow(ConfigError);
    await expect(jobs.poll(options as never)).rejects.toThrow('Option "executionId" is');
    const unsaid = { attributes: { tenant: undefined as never } };
    await expect(all(jobs.list(unsaid))).rejects.toThrow('Option "attributes.tenant" is');
    await expect(all(jobs.list({ status: undefined as never }))).resolves.toHaveLength(1);
  });

  it("are not left out where a fork is asked for", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [job] });
    const handle = await cluster.workflow(Job).start({ id: "job", does: "end", tenant: "a" });
    const fork = handle.fork as (options?: unknown) => Promise<unknown>;
    await expect(fork()).rejects.toThrow('Option "options" is missing, but it takes an object.');
    await expect(fork({ formStep: 0 })).rejects.toThrow('Did you mean "fromStep"?');
  });

  const desk = Desk.implement({ ask: () => undefined });
  const input = { id: "job", does: "end", tenant: "a" } as const;
  const insideOfWorkflows: Readonly<Record<string, readonly [Inside, RegExp]>> = {
    "a child": [
      (ctx) => ctx.child(Job).execute(input, { detatched: true } as object),
      /Did you mean "detached"\?/u,
    ],
    "a wait for a signal": [
      (ctx) => ctx.signal("any" as never, { timout: "1s" } as object),
      /Did you mean "timeout"\?/u,
    ],
    "an activity": [
      (ctx) => ctx.run("any", { retires: 1 } as object, () => undefined),
      /Did you mean "retries"\?/u,
    ],
    "a call": [
      (ctx) => ctx.entity(Desk, "1").ask(undefined, { timout: 1 } as object),
      /Did you mean "timeout"/u,
    ],
    "a call, as null": [(ctx) => ctx.entity(Desk, "1").ask(undefined, null as never), /takes an object/u],
  };

  it.each(Object.entries(insideOfWorkflows))(
    "are refused inside of a workflow, too: of %s",
    async (_, asked) => {
      const [ask, message] = asked;
      const Caller = defineWorkflow<void, void>({ name: "Caller", key: () => "1" });
      const caller = Caller.implement({
        async execute(ctx) {
          await ask(ctx);
        },
      });
      await using cluster = await createTestCluster({ runners: 1, register: [job, desk, caller] });
      const outcome = cluster
        .workflow(Caller)
        .execute()
        .catch((error: Error) => error.cause);
      await cluster.advance("2s");
      expect(await outcome).toBeInstanceOf(ConfigError);
      expect(String(await outcome)).toMatch(message);
    },
  );
});
