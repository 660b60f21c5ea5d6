import {
  ConfigError,
  defineWorkflow,
  ExecutionStateError,
  InterruptedError,
  InvalidInputError,
  query,
  SignalTimeoutError,
  UnknownExecutionError,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const Approval = defineWorkflow({
  name: "Approval",
  input: z.object({ id: z.string(), waits: z.int(), timeout: z.string().optional() }),
  output: z.array(z.string()),
  key: ({ id }) => id,
  hashKey: false,
  signals: { approved: z.object({ by: z.string().transform((by) => by.toUpperCase()) }), note: z.string() },
  queries: {
    progress: query({ output: z.number() }),
    share: query({ input: z.object({ of: z.int() }), output: z.number() }),
  },
});

const approval = Approval.implement({
  queries: {
    progress: (state) => state?.done ?? 0,
    share: (state, { of }) => (state?.done ?? 0) / of,
  },
  async execute(ctx, { waits, timeout }) {
    const by: string[] = [];
    for (let n = 0; n < waits; n += 1) {
      const options = timeout === undefined ? {} : { timeout: timeout as "1 hour" };
      try {
        by.push((await ctx.signal("approved", options)).by);
      } catch (error) {
        if (!(error instanceof SignalTimeoutError)) throw error;
        by.push(`nobody (${error.signal})`);
      }
      ctx.setState({ done: n + 1 });
    }
    return by;
  },
});

const NEVER = "30 days";

async function cluster(runners = 3): Promise<TestCluster> {
  return createTestCluster({ runners, register: [approval] });
}

describe("a signal", () => {
  it("reaches code that waits for it, parsed", async () => {
    await using test = await cluster();
    const handle = await test.workflow(Approval).start({ id: "1", waits: 1 });
    await handle.signal("approved", { by: "kim" });
    await test.advance("1s");
    await expect(handle.result()).resolves.toEqual(["KIM"]);
  });

  it("is kept where nobody waits, and each is given once, in the order in which they were accepted", async () => {
    await using test = await cluster();
    const handle = await test.workflow(Approval).start({ id: "1", waits: 4 });
    for (const by of ["a", "b", "c"]) await handle.signal("approved", { by });
    await handle.signal("note", "nobody asks for it");
    await test.advance("3 minutes");
    await expect(handle.query("progress")).resolves.toBe(3);
    await handle.signal("approved", { by: "d" });
    await test.advance("1s");
    await expect(handle.result()).resolves.toEqual(["A", "B", "C", "D"]);
  });

  it("wakes an execution that has left memory, also with other runners than when it left", async () => {
    await using test = await cluster();
    const handles = await Promise.all(
      Array.from({ length: 12 }, (_, n) => test.workflow(Approval).start({ id: `${n}`, waits: 2 })),
    );
    await test.advance("10s");
    const active = test.runners.map((runner) => runner.metrics.snapshot()["activeEntities"]);
    await test.advance("2 minutes");
    expect(active.length).toBe(3);
    expect(test.runners.map((runner) => runner.metrics.snapshot()["activeEntities"])).toEqual([0, 0, 0]);
    for (const handle of handles) await handle.signal("approved", { by: "x" });
    await test.crash(1);
    await test.advance("2 minutes");
    for (const handle of handles) await handle.signal("approved", { by: "y" });
    await test.restart(1);
    await test.advance("2 minutes");
    for (const handle of handles) await expect(handle.result()).resolves.toEqual(["X", "Y"]);
  });

  it.each(["is there already", "comes in time"])(
    "keeps the execution in memory that it was given to, for what its code awaits of its own then: it %s",
    async (when) => {
      const Slow = defineWorkflow<string, string>({
        name: "Slow",
        key: (id) => id,
        hashKey: false,
        signals: { go: z.string() },
      });
      let begun = 0;
      const slow = Slow.implement({
        async execute(ctx) {
          begun += 1;
          if (when === "is there already") await test.sleep(500);
          const by = await ctx.signal("go", { timeout: "1 hour" });
          await test.sleep(5_000);
          return by;
        },
      });
      await using test = await createTestCluster({ register: [slow] });
      const handle = await test.workflow(Slow).start("1");
      await handle.signal("go", "kim");
      await test.advance("6s");
      await expect(handle.poll()).resolves.toBe("kim");
      expect(begun, "it left memory for no time-out that is over").toBe(1);
    },
  );

  it("that is sent again under its key counts once", async () => {
    await using test = await cluster();
    const handle = await test.workflow(Approval).start({ id: "1", waits: 2 });
    for (let times = 0; times < 3; times += 1)
      await handle.signal("approved", { by: "once" }, { idempotencyKey: "payment-7" });
    await test.advance("5 minutes");
    await expect(handle.poll()).resolves.toBeUndefined();
    await handle.signal("approved", { by: "twice" });
    await test.advance("1s");
    await expect(handle.result()).resolves.toEqual(["ONCE", "TWICE"]);
  });

  it("of another name under the same key is another one", async () => {
    const Either = defineWorkflow({
      name: "Either",
      key: (id: string) => id,
      signals: { paid: z.string(), shipped: z.string() },
    });
    const either = Either.implement({
      execute: async (ctx) => [await ctx.signal("paid"), await ctx.signal("shipped")],
    });
    await using test = await createTestCluster({ runners: 1, register: [either] });
    const handle = await test.workflow(Either).start("1");
    await expect(handle.signal("paid", "x", { idempotencyKey: "" })).rejects.toThrow(ConfigError);
    for (let times = 0; times < 2; times += 1) {
      await handle.signal("paid", `p${times}`, { idempotencyKey: "event-7" });
      await handle.signal("shipped", `s${times}`, { idempotencyKey: "event-7" });
    }
    await test.advance("1s");
    await expect(handle.poll()).resolves.toEqual(["p0", "s0"]);
  });

  it("that does not come in time is SignalTimeoutError, not before that time (INV-7)", async () => {
    await using test = await cluster();
    const handle = await test.workflow(Approval).start({ id: "1", waits: 2, timeout: "10 minutes" });
    await test.advance("9 minutes");
    await expect(handle.query("progress")).resolves.toBe(0);
    await test.advance("2 minutes");
    await expect(handle.query("progress")).resolves.toBe(1);
    await handle.signal("approved", { by: "late" });
    await test.advance("1s");
    await expect(handle.result()).resolves.toEqual(["nobody (approved)", "LATE"]);
  });

  it("is refused with what is wrong with it, and nothing is sent", async () => {
    await using test = await cluster();
    const workflow = test.workflow(Approval);
    const handle = await workflow.start({ id: "1", waits: 1 });
    await expect(handle.signal("approved", { by: 5 } as never)).rejects.toThrow(InvalidInputError);
    await expect(handle.signal("aproved" as never, { by: "x" } as never)).rejects.toThrow(/approved, note/);
    await expect(handle.query("progres" as never)).rejects.toThrow(ConfigError);
    await expect(workflow.get("nobody").signal("note", "x")).rejects.toThrow(UnknownExecutionError);
    await expect(workflow.get("nobody").query("progress")).rejects.toThrow(UnknownExecutionError);
    await handle.signal("approved", { by: "x" });
    await test.advance("1s");
    await handle.result();
    await expect(handle.signal("approved", { by: "x" })).rejects.toThrow(ExecutionStateError);
  });

  // The last two once found a signal that overtook another one.
  it.each([1, 2, 3, 4, 5, 6, 11, 29])(
    "is neither lost nor doubled under every fault, with seed %i",
    async (seed) => {
      await using test = await createTestCluster({ runners: 3, register: [approval], seed });
      test.faults({
        drop: 0.03,
        duplicate: 0.03,
        delay: ["0ms", "30ms"],
        storageErrorBeforeCommit: 0.03,
        storageErrorAfterCommit: 0.03,
      });
      const sending = Array.from({ length: 6 }, async (_, id) => {
        const handle = await test.workflow(Approval).start({ id: `${id}`, waits: 5 });
        for (let n = 0; n < 5; n += 1) {
          const idempotencyKey = `${n}`;
          const send = async (): Promise<void> =>
            handle.signal("approved", { by: `${n}` }, { idempotencyKey });
          // A caller that missed the outcome asks again.
          await send().catch(send).catch(send);
        }
        return handle;
      });
      for (let round = 0; round < 6; round += 1) {
        await test.advance("7s");
        if (round === 1) await test.crash(seed % 3);
        if (round === 3) await test.restart(seed % 3);
      }
      test.faults({});
      await test.advance("2 minutes");
      const handles = await Promise.all(sending);
      await test.advance("2 minutes");
      for (const handle of handles) await expect(handle.result()).resolves.toEqual(["0", "1", "2", "3", "4"]);
    },
  );
});

describe("signals in parallel", () => {
  const Both = defineWorkflow({
    name: "Both",
    input: z.string(),
    output: z.array(z.string()),
    signals: { a: z.string(), b: z.string() },
  });
  const run = async (ctx: WorkflowContext<Record<never, never>, { a: z.ZodString; b: z.ZodString }>) => [
    await Promise.race([ctx.signal("a"), ctx.signal("b")]),
    ...(await Promise.all([ctx.signal("a"), ctx.signal("a"), ctx.signal("b", { timeout: NEVER })])),
  ];

  it("go to those who asked first, by name, and a race's loser takes the next of its name", async () => {
    const both = Both.implement({ execute: run });
    await using test = await createTestCluster({ runners: 2, register: [both] });
    const handle = await test.workflow(Both).start("1");
    await handle.signal("b", "b1");
    await test.advance("1 minute");
    // The wait for `a` that lost the race is still the first one.
    for (const n of [1, 2, 3]) await handle.signal("a", `a${n}`);
    await handle.signal("b", "b2");
    await test.advance("1 minute");
    await expect(handle.result()).resolves.toEqual(["b1", "a2", "a3", "b2"]);
  });
});

describe("a query", () => {
  it("is answered from the state while it runs, while it is out of memory, and after the end", async () => {
    await using test = await cluster();
    const handle = await test.workflow(Approval).start({ id: "1", waits: 2 });
    await expect(handle.query("progress")).resolves.toBe(0);
    await handle.signal("approved", { by: "a" });
    await test.advance("3 minutes");
    await expect(handle.query("progress")).resolves.toBe(1);
    await expect(handle.query("share", { of: 2 })).resolves.toBe(0.5);
    await handle.signal("approved", { by: "b" });
    await test.advance("1s");
    await handle.result();
    await expect(handle.query("progress")).resolves.toBe(2);
    await test.crash(0);
    await test.advance("2 minutes");
    await expect(handle.query("progress")).resolves.toBe(2);
  });

  it("is given up after its time-out, or as its signal says, where its function never answers", async () => {
    const Stuck = defineWorkflow({
      name: "Stuck",
      input: z.string(),
      output: z.void(),
      queries: { never: query({ output: z.string() }) },
    });
    const stuck = Stuck.implement({
      queries: { never: () => new Promise<string>(() => undefined) },
      execute: (ctx) => ctx.sleep(NEVER),
    });
    await using test = await createTestCluster({ register: [stuck] });
    const handle = await test.workflow(Stuck).start("1");
    const gaveUp = new AbortController();
    const calls = Promise.allSettled([
      handle.query("never", undefined, { timeout: "5s" }),
      handle.query("never", undefined, { signal: gaveUp.signal }),
    ]);
    await test.advance("6s");
    gaveUp.abort();
    await test.advance("1s");
    expect(await calls).toMatchObject([
      {
        reason: expect.objectContaining({
          code: "TIMEOUT",
          message: expect.stringContaining(
            ".query gave no reply within 5000 ms. It changes nothing: repeat it,",
          ),
        }) as unknown,
      },
      { reason: expect.any(InterruptedError) as unknown },
    ]);
    await expect(handle.query("never", undefined, { retries: 3 } as never)).rejects.toThrow(ConfigError);
  });
});
