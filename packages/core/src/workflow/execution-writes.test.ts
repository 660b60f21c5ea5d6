import { describe, expect, it } from "vitest";
import { ExecutionStage } from "../../test/execution-stage.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";

describe("a failed write", () => {
  it.each(["not-written", "unknown-lost", "unknown-written"] as const)(
    "ends this copy with the storage's error: %s",
    async (fault) => {
      const stage = new ExecutionStage(async (ctx) => {
        await ctx.run("a", () => 1);
        await ctx.activities.commit("b");
      });
      stage.faults.set(1, fault);
      const end = await stage.activate();
      expect(end).toMatchObject({ type: "failed", error: expect.any(PersistenceError) });
      expect(stage.attempts, "nothing starts on what may not be there (E3)").toEqual([]);
    },
  );

  it("ends this copy with FencedError when the shard has a new owner", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.commit("a"));
    stage.faults.set(1, "fenced");
    const end = await stage.activate();
    expect(end).toMatchObject({ type: "failed", error: expect.any(FencedError) });
    expect(stage.committed).toEqual([]);
  });

  it("takes with it what was recorded after it: no gap is left", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      Promise.all([ctx.run("a", () => 1), ctx.run("b", () => 2), ctx.run("c", () => 3)]),
    );
    stage.faults.set(1, "not-written");
    await stage.activate();
    expect(stage.journal).toEqual([]);
    expect(await stage.run()).toEqual({ type: "completed", value: [1, 2, 3] });
  });

  it("lets code that goes on by itself record nothing more (E4)", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      if (stage.copies === 1) void stage.pass(50).then(() => ctx.setState("late"));
      return ctx.run("a", () => 1);
    });
    stage.faults.set(1, "not-written");
    await stage.activate();
    await stage.clock.advance(100);
    expect(stage.journal).toEqual([]);
    expect(await stage.run()).toEqual({ type: "completed", value: 1 });
  });

  it("lets no other copy begin before what else is under way has ended (INV-3)", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      Promise.all([
        // Quick in the first copy only, so that the steps would be recorded in another order in the second.
        ctx.activities.take("a", stage.copies === 1 ? 0 : 60_000),
        ctx.activities.commit("b", 1),
      ]),
    );
    stage.slowWrites.set(1, 10);
    stage.faults.set(1, "not-written");
    // Over before the next copy would record that its steps last, and thereby take the ordinal of this.
    stage.slowWrites.set(2, 3_000);
    expect(await stage.run()).toEqual({ type: "completed", value: ["a", "b committed"] });
    await stage.clock.advance(120_000);
    expect(stage.committed).toEqual(["b"]);
    const outcomes = stage.journal.filter(({ event }) => event.type === "completed");
    expect(outcomes.map(({ name }) => name)).toEqual(["commit", "take"]);
  });

  const lost = new PersistenceError({
    operation: "a transaction",
    outcome: "not-written",
    detail: "connection lost",
  });
  it.each([
    ["lost", lost],
    ["lost, as a query builder tells it", new Error("Failed query: insert into ...", { cause: lost })],
  ])("is no failure of the activity whose transaction the storage %s", async (_what, error) => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.commit("a"));
    let isDown = true;
    stage.whenCommitting = () => {
      if (!isDown) return;
      isDown = false;
      throw error;
    };
    expect(await stage.activate()).toMatchObject({ type: "failed", error: expect.any(PersistenceError) });
    expect(stage.journal).toEqual([]);
    expect(await stage.run()).toEqual({ type: "completed", value: "a committed" });
  });
});

describe("an activity's transaction", () => {
  it("is rolled back with each attempt that fails, times out or cannot be recorded", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.flakyCommit("g", 2));
    await stage.run();
    expect(stage.transactions.map(({ isRolledBack }) => isRolledBack)).toEqual([true, true, false]);
    expect(stage.committed).toEqual(["g#3"]);
  });

  it("is rolled back when the result cannot be stored, which is the activity's failure", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      ctx.activities.commitValue("a", () => "a function").catch((error: unknown) => String(error)),
    );
    expect(await stage.run()).toEqual({
      type: "completed",
      value: expect.stringMatching(/SerializationError.*commitValue.*a function/),
    });
    expect(stage.transactions.map(({ isRolledBack }) => isRolledBack)).toEqual([true]);
    expect(stage.committed).toEqual([]);
  });
});

describe("a transaction that cannot commit", () => {
  it("is a failed attempt, and the next one may succeed", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.flakyCommit("g", 0));
    stage.faults.set(1, "cannot-commit");
    expect(await stage.run()).toEqual({ type: "completed", value: "g" });
    expect(stage.attempts).toEqual(["g#1", "g#2"]);
    expect(stage.committed).toEqual(["g#2"]);
  });

  it("is the activity's failure where no attempt is left, and holds nothing else up", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const results = await Promise.allSettled([
        ctx.activities.commit("a"),
        ctx.activities.take("b"),
        ctx.activities.commit("c", 5),
      ]);
      return results.map((each) => (each.status === "fulfilled" ? each.value : String(each.reason)));
    });
    stage.faults.set(1, "cannot-commit");
    expect(await stage.run()).toEqual({
      type: "completed",
      value: [expect.stringContaining("TransactionUnavailableError"), "b", "c committed"],
    });
    expect(stage.committed).toEqual(["c"]);
  });
});
