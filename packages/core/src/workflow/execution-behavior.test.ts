import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { Echo, ExecutionStage, type Program } from "../../test/execution-stage.ts";
import { InterruptedError, MailboxFullError } from "../errors/routing.ts";
import { WorkflowFailedError } from "../errors/workflow.ts";

const PARKED_MS = 10_000;

/** A journal of three steps and a sleep that is not over. */
async function recorded(): Promise<ExecutionStage> {
  const stage = new ExecutionStage(async (ctx) => {
    const a = await ctx.activities.commit("a");
    const b = await ctx.run("b", () => 2);
    await ctx.sleep("1 hour");
    return [a, b, await ctx.activities.take("c")];
  });
  expect(await stage.activate()).toMatchObject({ type: "suspended" });
  return stage;
}

describe("code that diverges from the journal", () => {
  const others: Readonly<Record<string, Program>> = {
    "asks for another name": async (ctx) => {
      await ctx.activities.take("a");
    },
    "asks for another kind": async (ctx) => {
      await ctx.sleep(5);
    },
    "asks for another step later on": async (ctx) => {
      await ctx.activities.commit("a");
      await ctx.run("c", () => 3);
    },
    "has one more step in between": async (ctx) => {
      await ctx.activities.commit("a");
      ctx.now();
      await ctx.run("b", () => 2);
    },
    "ends before the journal does": async (ctx) => {
      await ctx.activities.commit("a");
      return "done";
    },
    "fails before the journal does": async (ctx) => {
      await ctx.activities.commit("a");
      throw new Error("new code");
    },
    "catches what tells it so": async (ctx, stage) => {
      try {
        await ctx.activities.take("a");
      } catch {
        stage.trace.push("caught");
      } finally {
        stage.trace.push("finally");
      }
    },
  };

  it.each(Object.entries(others))("is parked and changes nothing when it %s", async (_what, program) => {
    const stage = await recorded();
    const journal = stage.journal.slice();
    const { attempts, committed } = { attempts: stage.attempts.length, committed: stage.committed.length };
    const { program: right } = stage;
    stage.program = program;
    const end = await stage.activate();
    expect(end.type).toBe("suspended");
    expect(end.type === "suspended" && end.until).toBeGreaterThan(stage.clock.now());
    expect(end.type === "suspended" && (end.until ?? 0) - stage.clock.now()).toBeLessThanOrEqual(PARKED_MS);
    expect(stage.journal).toEqual(journal);
    expect(stage.attempts).toHaveLength(attempts);
    expect(stage.committed).toHaveLength(committed);
    expect(stage.trace).toEqual([]);
    expect(stage.logged.join("\n")).toContain("waits for fixed code");

    stage.program = right;
    expect(await stage.run()).toEqual({ type: "completed", value: ["a committed", 2, "c"] });
    expect(stage.committed).toEqual(["a"]);
  });

  it("starts nothing where the journal has a gap, before it turns out to diverge", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      Promise.all([ctx.activities.take("slow", 500), ctx.activities.commit("b")]),
    );
    stage.faults.set(1, "crash-after");
    expect(await stage.activate()).toEqual({ type: "crashed" });
    const { program } = stage;
    stage.program = async (ctx) => [await ctx.activities.take("slow", 500), await ctx.activities.take("c")];
    const before = stage.attempts.length;
    expect(await stage.activate()).toMatchObject({ type: "suspended" });
    expect(stage.attempts).toHaveLength(before);
    expect(stage.journal).toHaveLength(1);

    stage.program = program;
    expect(await stage.run()).toEqual({ type: "completed", value: ["slow", "b committed"] });
    expect(stage.committed).toEqual(["b"]);
  });

  it.each<[string, (...args: Parameters<Program>) => void]>([
    ["takes the time", (ctx) => void ctx.now()],
    ["sets its state", (ctx) => ctx.setState("new")],
    ["sets its attributes", (ctx) => ctx.setAttributes({ tenant: "a" })],
  ])(
    "changes nothing where it %s in place of a step that had begun, unknown to the journal",
    async (_what, instead) => {
      const stage = new ExecutionStage(async (ctx) =>
        Promise.all([ctx.activities.take("slow", 500), ctx.activities.take("quick")]),
      );
      stage.faults.set(1, "crash-after");
      expect(await stage.activate()).toEqual({ type: "crashed" });
      stage.program = async (ctx, ...rest) => {
        instead(ctx, ...rest);
        return ctx.activities.take("quick");
      };
      expect(await stage.activate()).toEqual({ type: "suspended", until: expect.any(Number) });
      expect(stage.journal.map(({ position, name }) => [position, name])).toEqual([[1, "take"]]);
    },
  );

  it("is looked at less and less often, and at once again after it went on", async () => {
    const stage = await recorded();
    const { program } = stage;
    const park = async (): Promise<number> => {
      const end = await stage.activate();
      return end.type === "suspended" ? (end.until ?? 0) - stage.clock.now() : 0;
    };
    stage.program = async (ctx) => ctx.sleep(5);
    const pauses: number[] = [];
    for (let times = 0; times < 8; times += 1) pauses.push(await park());
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    stage.program = program;
    await stage.activate();
    stage.program = async (ctx) => ctx.sleep(5);
    expect(await park()).toBe(1_000);
  });

  it("is told both steps and their place", async () => {
    const stage = await recorded();
    stage.program = async (ctx) => {
      await ctx.activities.commit("a");
      await ctx.activities.take("b");
    };
    const errors: unknown[] = [];
    stage.logError = (fields) => errors.push(fields["error"]);
    await stage.activate();
    expect(errors).toEqual([
      expect.stringMatching(/execution-1.*Staged.*step 1.*run "b".*activity "take".*journal is unchanged/s),
    ]);
  });

  it("is not what code that awaits something of its own for a while is taken for", async () => {
    const stage = await recorded();
    const { program } = stage;
    stage.program = async (ctx, on) => {
      await on.pass(700);
      return program(ctx, on);
    };
    expect(await stage.run()).toMatchObject({ type: "completed" });
  });
});

describe("an execution that waits", () => {
  it("leaves memory until the sleep is over, and not a moment less (INV-7)", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      await ctx.sleep("1 hour");
      return "awake";
    });
    const began = stage.clock.now();
    expect(await stage.activate()).toEqual({ type: "suspended", until: began + 3_600_000 });
    expect(stage.clock.now(), "after a moment").toBe(began + 1_000);
    expect(stage.clock.pending(), "nothing of it stays").toBe(0);
    await stage.clock.advance(3_598_500);
    expect(await stage.activate(), "woken early").toMatchObject({ type: "completed" });
    expect(stage.clock.now()).toBe(began + 3_600_000);
  });

  it("leaves memory with the earliest of its sleeps, and only once all else is done", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      Promise.all([ctx.sleep("3h"), ctx.activities.take("a", 600), ctx.sleep("2h")]),
    );
    const began = stage.clock.now();
    expect(await stage.activate()).toEqual({ type: "suspended", until: began + 7_200_000 });
    expect(stage.clock.now()).toBe(began + 1_600);
  });

  it("stays for what its code awaits of its own beside a timer that it has asked for, each time anew", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const tooLate = ctx.sleep("1 hour");
      await stage.pass(900);
      await ctx.activities.take("a");
      await stage.pass(900);
      const b = await Promise.race([ctx.activities.take("b"), tooLate]);
      await stage.pass(900);
      return b;
    });
    expect(await stage.activate()).toEqual({ type: "completed", value: "b" });
    expect(stage.clock.pending(), "nothing of it stays").toBe(0);
  });

  it("stays for a sleep of less than a second", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.sleep(999));
    expect(await stage.activate()).toMatchObject({ type: "completed" });
    expect(stage.copies).toBe(1);
  });

  it("does not sleep again for a date that is past", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.sleepUntil(new Date(0)));
    expect(await stage.activate()).toMatchObject({ type: "completed" });
  });

  it("leaves memory between attempts, whose number and pause it does not forget", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.flaky("f", 3));
    stage.latencyTurns = 5;
    const began = stage.clock.now();
    const untils: (number | null)[] = [];
    for (;;) {
      const end = await stage.activate();
      if (end.type !== "suspended") break;
      untils.push(end.until === null ? null : end.until - began);
      expect(stage.clock.pending()).toBe(0);
      await stage.clock.advance((end.until ?? 0) - stage.clock.now());
    }
    expect(untils, "1s in memory, then 2s, then 3s, which is maxInterval").toEqual([3_000, 6_000]);
    expect(stage.attempts).toEqual(["f#1", "f#2", "f#3", "f#4"]);
  });
});

describe("a heartbeat's details", () => {
  it("reach the next attempt, also when the execution left memory meanwhile", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      ctx.run("copy", { retries: 2, initialInterval: "1 minute" }, (attempt) => {
        const last = attempt.lastHeartbeat as { row: number } | undefined;
        stage.attempts.push(`from ${last?.row ?? "the start"}`);
        attempt.heartbeat({ row: (last?.row ?? 0) + 5 });
        if (attempt.attempt === 1) throw new Error("cut off");
        attempt.heartbeat({ row: (last?.row ?? 0) + 7 });
        if (attempt.attempt === 2) throw new Error("cut off again");
        return "copied";
      }),
    );
    expect(await stage.run()).toEqual({ type: "completed", value: "copied" });
    expect(stage.copies).toBe(3);
    expect(stage.attempts).toEqual(["from the start", "from 5", "from 12"]);
  });

  it("that cannot be recorded end the attempt that gave them", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      ctx
        .run("copy", ({ heartbeat }) => heartbeat(() => "a function"))
        .catch((error: unknown) => String(error)),
    );
    expect(await stage.run()).toEqual({
      type: "completed",
      value: expect.stringMatching(/SerializationError.*heartbeat.*copy.*function/i),
    });
  });
});

describe("an execution whose shard is about to move", () => {
  it("is suspended at once where it waits", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.sleep(900));
    stage.begin();
    await stage.clock.advance(100);
    stage.leave();
    await stage.clock.settle();
    expect(stage.end).toEqual({ type: "suspended", until: 0 });
  });

  it("ends the attempt that runs, records it, and starts nothing more", async () => {
    const stage = new ExecutionStage(async (ctx) => [
      await ctx.activities.commit("a", 500),
      await ctx.activities.commit("b"),
    ]);
    stage.begin();
    await stage.clock.advance(100);
    stage.leave();
    await stage.clock.advance(100);
    expect(stage.end).toBeNull();
    expect(await stage.settle()).toEqual({ type: "suspended", until: 0 });
    expect(stage.committed).toEqual(["a"]);
    expect(stage.attempts).toEqual(["a#1"]);
    expect(await stage.run()).toMatchObject({ type: "completed" });
    expect(stage.committed).toEqual(["a", "b"]);
  });

  it("waits for its writes, also slow ones", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.activities.flaky("f", 1));
    stage.latencyTurns = 20;
    stage.begin();
    await new SystemClock().nextTurn();
    stage.leave();
    expect(await stage.settle()).toEqual({ type: "suspended", until: 0 });
    expect(stage.clock.monotonic(), "it did not wait for the next attempt").toBe(0);
    expect(stage.journal).toHaveLength(1);
  });

  it("starts nothing when it comes into memory", async () => {
    const stage = await recorded();
    await stage.clock.advance(3_600_000);
    stage.begin();
    stage.leave();
    expect(await stage.settle()).toEqual({ type: "suspended", until: 0 });
    expect(stage.attempts).toEqual(["a#1"]);
  });

  it("leaves a persisted call to the next copy, which joins it by its key", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.entity(Echo, "e").echo("x"));
    const options: unknown[] = [];
    stage.answer = (_input, given) => {
      options.push(given);
      return options.length === 1 ? new Promise(() => undefined) : "joined";
    };
    stage.begin();
    await stage.clock.settle();
    stage.leave();
    expect(await stage.settle()).toEqual({ type: "suspended", until: 0 });
    expect(await stage.run()).toEqual({ type: "completed", value: "joined" });
    expect(stage.sent).toEqual([stage.sent[0], stage.sent[0]]);
    expect(options[0], "the end of one copy must not interrupt the handler").toMatchObject({
      uninterruptible: true,
    });
  });
});

describe("a race", () => {
  it("is not ended by its loser's failure, whenever that comes", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const first = await Promise.race([ctx.activities.take("fast"), ctx.activities.broken("slow", 100)]);
      await ctx.sleep(500);
      return first;
    });
    expect(await stage.run()).toEqual({ type: "completed", value: "fast" });
    expect(stage.attempts).toEqual(["fast#1", "slow#1"]);
  });

  it("has the same winner in a replay where one of its promises is no step's", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const own = Promise.resolve().then(() => "own");
      const first = await Promise.race([ctx.run("step", () => "step"), own]);
      await ctx.sleep("1 hour");
      return first;
    });
    expect(await stage.run()).toEqual({ type: "completed", value: "own" });
    expect(stage.copies).toBeGreaterThan(1);
  });

  it("has the same winner in a replay, though both have long ended", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      const first = await Promise.race([ctx.activities.take("slow", 200), ctx.activities.take("fast", 100)]);
      await ctx.sleep("1 hour");
      return first;
    });
    expect(await stage.activate()).toMatchObject({ type: "suspended" });
    expect(stage.journal.filter(({ event }) => event.type === "completed")).toHaveLength(2);
    expect(await stage.run()).toEqual({ type: "completed", value: "fast" });
  });
});

describe("a call of an entity", () => {
  it("has one key, however often it is sent, and another one at each step", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      await ctx.entity(Echo, "e").echo(1);
      await ctx.entity(Echo, "e").echo(2);
    });
    stage.faults.set(1, "crash-before");
    await stage.run();
    expect(stage.sent).toEqual([stage.sent[0], stage.sent[0], stage.sent[2]]);
    expect(stage.sent[2]).not.toBe(stage.sent[0]);
  });

  it("is made again while it surely did not run", async () => {
    const stage = new ExecutionStage(async (ctx) => ctx.entity(Echo, "e").volatile("x"));
    let refusals = 6;
    stage.answer = (input) => {
      refusals -= 1;
      if (refusals > 0) throw new MailboxFullError({ entity: "Echo/e", capacity: 1 });
      return input;
    };
    expect(await stage.run()).toEqual({ type: "completed", value: "x" });
  });

  it("fails in the code when a volatile rpc was cut short: it may have run", async () => {
    const stage = new ExecutionStage(async (ctx) =>
      ctx
        .entity(Echo, "e")
        .volatile("x")
        .catch((error: unknown) => (error instanceof InterruptedError ? "interrupted" : "another error")),
    );
    stage.answer = () => {
      throw new InterruptedError({ what: "Echo/e.volatile", why: "its shard moved", retryable: true });
    };
    expect(await stage.run()).toEqual({ type: "completed", value: "interrupted" });
    expect(stage.sent).toHaveLength(1);
  });

  it("cannot be of a stream, which no journal holds", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      for await (const n of ctx.entity(Echo, "e").flow()) stage.trace.push(String(n));
    });
    expect(await stage.run()).toMatchObject({
      type: "failed",
      error: { cause: { name: "DefinitionError", message: expect.stringContaining("Echo.flow") } },
    });
  });
});

describe("an execution's end", () => {
  it("is WorkflowFailedError with what the code threw as its cause", async () => {
    const thrown = new RangeError("out of stock");
    const stage = new ExecutionStage(async () => {
      throw thrown;
    });
    const end = await stage.run();
    expect(end).toMatchObject({ type: "failed", error: expect.any(WorkflowFailedError) });
    expect(end.type === "failed" && end.error).toMatchObject({
      cause: thrown,
      executionId: "execution-1",
      message: expect.stringContaining("out of stock"),
    });
  });

  it("aborts what still runs", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      void ctx.activities.untilAborted("loser");
      await ctx.sleep(10);
      return "done";
    });
    expect(await stage.run()).toEqual({ type: "completed", value: "done" });
    expect(stage.attempts).toEqual(["loser#1", "loser aborted"]);
    expect(stage.clock.pending()).toBe(0);
  });

  it("is the same for code that throws what is no Error", async () => {
    const stage = new ExecutionStage(async () => {
      // oxlint-disable-next-line no-throw-literal -- what is tested
      throw "text";
    });
    expect(await stage.run()).toMatchObject({ type: "failed", error: expect.any(WorkflowFailedError) });
  });
});

describe("a workflow's log", () => {
  it("is silent while replaying, also after a suspension", async () => {
    const stage = new ExecutionStage(async (ctx) => {
      ctx.log.info(`begins, replaying: ${ctx.isReplaying}`);
      await ctx.activities.take("a");
      ctx.log.info("goes to sleep");
      await ctx.sleep("1 hour");
      ctx.log.info("awake");
      await ctx.activities.take("b");
      ctx.log.info("ends");
    });
    await stage.run();
    expect(stage.copies).toBeGreaterThan(1);
    expect(stage.logged).toEqual(["begins, replaying: false", "goes to sleep", "awake", "ends"]);
  });
});
