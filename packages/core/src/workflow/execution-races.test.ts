import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { Echo, ExecutionStage } from "../../test/execution-stage.ts";
import { REFUSED } from "../../test/stage-definitions.ts";
import type { InboxMessage } from "../adapter/workflow-storage.ts";
import { Abort } from "../contract/abort.ts";
import { encodePayload } from "../contract/payload.ts";
import { CANCEL, SIGNAL, WATCH } from "../contract/workflow-contract.ts";
import { WorkflowCancelledError } from "../errors/workflow.ts";

function message(tag: string, input: unknown, requestId: string = tag): InboxMessage {
  return { requestId, tag, payload: encodePayload(input, "a message") };
}

function signal(payload: unknown, requestId: string): InboxMessage {
  return message(SIGNAL, { name: "a", payload }, requestId);
}

describe("an execution's watchers", () => {
  const watcher = message(WATCH, { entityType: "workflow:P", executionId: "p", shardGroup: "default" });

  it("are woken by the copy whose replay ends with its code", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.take("a", 5_000));
    stage.storage.inbox = [watcher];
    stage.faults.set(1, "crash-after");
    expect(await stage.activate()).toEqual({ type: "crashed" });
    expect(stage.journal).toHaveLength(1);
    stage.wakings.length = 0;
    expect(await stage.activate()).toEqual({ type: "completed", value: "a" });
    expect(stage.wakings).toHaveLength(1);
  });

  it("are woken by code that has no step", async () => {
    const stage = new ExecutionStage(async () => "at once");
    stage.storage.inbox = [watcher];
    expect(await stage.activate()).toMatchObject({ type: "completed" });
    expect(stage.wakings).toHaveLength(1);
  });
});

describe("what settles while an execution goes on as new", () => {
  it("is no part of the next run", async () => {
    const stage = new ExecutionStage(async (ctx, _stage, input) => {
      if (input === "again")
        return [await ctx.activities.take("one of the next"), await ctx.activities.take("two of the next")];
      void ctx.activities.take("loser", 1_500);
      await ctx.activities.take("winner", 1_000);
      return ctx.continueAsNew("again");
    });
    // The first write is the winner's outcome, and the second says that the run is over.
    stage.slowWrites.set(2, 2_000);
    expect(await stage.activate()).toEqual({
      type: "completed",
      value: ["one of the next", "two of the next"],
    });
    expect(stage.storage.written.map(({ name }) => name)).toEqual(["take", "continueAsNew", "take", "take"]);
    expect(stage.logged).toEqual([]);
  });

  it("lets the code of the run before do nothing more", async () => {
    const stage = new ExecutionStage(async (ctx, _stage, input) => {
      if (input === "again") return "done";
      void ctx.activities.take("loser", 1_500).then(() => ctx.activities.commit("too late"));
      await ctx.activities.take("winner", 1_000);
      return ctx.continueAsNew("again");
    });
    stage.slowWrites.set(2, 2_000);
    expect(await stage.activate()).toEqual({ type: "completed", value: "done" });
    await stage.clock.advance(10_000);
    expect(stage.attempts).toEqual(["loser#1", "winner#1"]);
    expect(stage.committed).toEqual([]);
    expect(stage.storage.written.map(({ name }) => name)).toEqual(["take", "continueAsNew"]);
  });

  it("has its transaction rolled back", async () => {
    const stage = new ExecutionStage(async (ctx, _stage, input) => {
      if (input === "again") return "done";
      void ctx.activities.commit("loser", 1_500);
      await ctx.activities.take("winner", 1_000);
      return ctx.continueAsNew("again");
    });
    stage.slowWrites.set(2, 2_000);
    expect(await stage.activate()).toEqual({ type: "completed", value: "done" });
    expect(stage.transactions.map(({ isRolledBack }) => isRolledBack)).toEqual([true]);
    expect(stage.committed).toEqual([]);
  });
});

describe("a cancellation that comes after a crash before the first entry of the journal", () => {
  it("has compensated what the copy before may have done", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      ctx.onCompensate("undo", async () => void (await ctx.activities.take("undo charge")));
      return ctx.activities.take("charge", 5_000);
    });
    stage.begin(1);
    await stage.clock.advance(1_000);
    expect(stage.attempts).toEqual(["charge#1"]);
    stage.crash();
    expect(stage.journal).toEqual([]);
    stage.storage.inbox = [message(CANCEL, "not wanted")];
    stage.begin(2);
    expect(await stage.settle()).toMatchObject({ type: "failed", error: expect.any(WorkflowCancelledError) });
    expect(stage.attempts).toContain("undo charge#1");
  });
});

describe("a cancellation whose code had gone on with its clean-up in a journal of before", () => {
  it("is not told to it half-way", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const ends: string[] = [];
      for (const step of ["work", "clean", "up"]) {
        const end = ctx.run(step, () => `${step} is done`);
        ends.push(await end.catch((error: unknown) => `${step}: ${String(error)}`));
      }
      return ends;
    });
    const kinds = [
      ["cancel", -1, "cancel"],
      ["run", 0, "work"],
      ["run", 1, "clean"],
    ] as const;
    for (const [ordinal, [kind, position, name]] of kinds.entries()) {
      const value = encodePayload(`${name} was done`, name);
      stage.storage.journal.push({ ordinal, position, kind, name, event: { type: "completed", value } });
    }
    expect(await stage.activate()).toEqual({
      type: "completed",
      value: ["work was done", "clean was done", "up is done"],
    });
  });
});

describe("signals", () => {
  it("are given to steps in the order in which the code asked, with time-outs or without (S1)", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      Promise.all([ctx.signal("a", { timeout: "1 hour" }), ctx.signal("a")]),
    );
    stage.storage.inbox = [signal(1, "s1"), signal(2, "s2")];
    expect(await stage.activate()).toEqual({ type: "completed", value: [1, 2] });
  });

  it("keep their order when a cancellation reaches the code before them (S1)", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      ctx.now();
      try {
        return await Promise.all([ctx.signal("a"), ctx.signal("a")]);
      } catch {
        await ctx.activities.take("clean up");
        return [await ctx.signal("a"), await ctx.signal("a")];
      }
    });
    stage.faults.set(1, "crash-after");
    expect(await stage.activate(), "its code has begun").toEqual({ type: "crashed" });
    expect(stage.journal).toHaveLength(1);
    stage.storage.inbox = [signal(1, "s1"), signal(2, "s2"), message(CANCEL, "not wanted")];
    expect(await stage.activate()).toEqual({ type: "completed", value: [1, 2] });
    expect(stage.attempts).toEqual(["clean up#1"]);
  });

  it.each([1, 2])("fail the code's step when they are refused, although write %i is lost", async (write) => {
    const stage = new ExecutionStage(async (ctx) => {
      const first = await ctx.signal("a").catch((error: unknown) => (error as Error).name);
      return [first, await ctx.signal("a")];
    });
    stage.storage.inbox = [signal(`${REFUSED} x`, "s1"), signal("taken", "s2")];
    stage.faults.set(write, "crash-before");
    expect(await stage.activate()).toEqual({ type: "crashed" });
    expect(await stage.run()).toEqual({ type: "completed", value: ["InvalidInputError", "taken"] });
  });
});

describe("a long-lived execution", () => {
  it("removes the listeners of steps that are over from its signals", async () => {
    using added = vi.spyOn(EventTarget.prototype, "addEventListener");
    using watched = vi.spyOn(Abort.prototype, "whenAborted");
    using forgotten = vi.spyOn(Abort.prototype, "forget");
    const stage = new ExecutionStage(async (ctx) => {
      for (let n = 0; n < 100; n += 1) await ctx.entity(Echo, "e").echo(n);
    });
    let most = 0;
    stage.answer = (input) => {
      most = Math.max(most, watched.mock.calls.length - forgotten.mock.calls.length);
      const signals = new Set(added.mock.contexts.filter((target) => target instanceof AbortSignal));
      for (const each of signals) most = Math.max(most, getEventListeners(each, "abort").length);
      return input;
    };
    expect(await stage.activate()).toMatchObject({ type: "completed" });
    expect(stage.sent).toHaveLength(100);
    expect(watched).toHaveBeenCalled();
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(10);
  });
});
