import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExecutionStage, type Fault, type Program, type StageContext } from "../../test/execution-stage.ts";

/** A program that chance writes: what it does, and what it awaits together. */
type Plan =
  | { readonly type: "commit" | "take" | "broken"; readonly ms: number }
  | { readonly type: "sleep"; readonly ms: number }
  | { readonly type: "flaky"; readonly times: number }
  | { readonly type: "now" | "inline" }
  | { readonly type: "sequence" | "all" | "race" | "any" | "settled"; readonly plans: readonly Plan[] }
  | { readonly type: "try"; readonly plan: Plan };

const anyMs = fc.constantFrom(0, 1, 7, 40, 300, 1_700);
const { plan } = fc.letrec<{ plan: Plan; plans: readonly Plan[] }>((tie) => ({
  plan: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.record({ type: fc.constantFrom("commit" as const, "take" as const, "broken" as const), ms: anyMs }),
    fc.record({ type: fc.constant("sleep" as const), ms: fc.oneof(anyMs, fc.constant(90_000)) }),
    fc.record({ type: fc.constant("flaky" as const), times: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ type: fc.constantFrom("now" as const, "inline" as const) }),
    fc.record({
      type: fc.constantFrom(
        "sequence" as const,
        "all" as const,
        "race" as const,
        "any" as const,
        "settled" as const,
      ),
      plans: tie("plans"),
    }),
    fc.record({ type: fc.constant("try" as const), plan: tie("plan") }),
  ),
  plans: fc.array(tie("plan"), { minLength: 1, maxLength: 4 }),
}));

const FAULTS: readonly Fault[] = [
  "crash-before",
  "crash-after",
  "not-written",
  "unknown-written",
  "unknown-lost",
];
const faults = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 25 }), fc.constantFrom(...FAULTS)), {
  selector: ([write]) => write,
  maxLength: 8,
});

/** By the number of the copy: when its shard is about to move. */
const leaves = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), anyMs), { maxLength: 3 });

/** By the number of the write: how long it takes, also past the end of its copy. */
const slow = fc.array(fc.tuple(fc.integer({ min: 1, max: 25 }), fc.constantFrom(3, 60, 900, 30_000)), {
  maxLength: 4,
});

/** Labels rise as the code asks, so a replay that asks otherwise shows. */
function programOf(root: Plan): Program {
  return async (ctx, stage) => {
    let count = 0;
    const seen = async (result: Promise<unknown>): Promise<unknown> => {
      try {
        const value = await result;
        stage.trace.push(String(value));
        return value;
      } catch (error) {
        stage.trace.push(String(error));
        throw error;
      }
    };
    const label = (): string => `step ${(count += 1)}`;
    const run = async (of: Plan): Promise<unknown> => {
      switch (of.type) {
        case "commit":
        case "take":
        case "broken":
          return seen(ctx.activities[of.type](label(), of.ms));
        case "flaky":
          return seen(ctx.activities.flakyCommit(label(), of.times));
        case "sleep":
          return sleepFor(ctx, of.ms);
        case "now":
          return seen(Promise.resolve(ctx.now()));
        case "inline":
          return seen(ctx.run(label(), () => ctx.executionId));
        case "try":
          return run(of.plan).catch((error: unknown) => seen(Promise.resolve(`caught ${String(error)}`)));
        case "sequence": {
          const results: unknown[] = [];
          for (const each of of.plans) results.push(await run(each));
          return results;
        }
        case "all":
          return Promise.all(of.plans.map(run));
        case "race":
          return Promise.race(of.plans.map(run));
        case "any":
          return Promise.any(of.plans.map(run));
        case "settled":
          return (await Promise.allSettled(of.plans.map(run))).map(({ status }) => status);
      }
    };
    return run(root);
  };
}

async function sleepFor(ctx: StageContext, ms: number): Promise<string> {
  const before = ctx.now();
  await ctx.sleep(ms);
  // Not asked of the journal: after the end nobody looks.
  const after = ctx.now();
  if (after - before < ms) throw new EarlyError(`A sleep of ${ms} ms took ${after - before}`);
  return "slept";
}

class EarlyError extends Error {}

describe("any program with any faults", () => {
  it("ends as its journal says, with each transaction's effect once (INV-3, INV-7, INV-8)", async () => {
    await fc.assert(
      fc.asyncProperty(
        plan,
        faults,
        leaves,
        slow,
        fc.integer({ min: 0, max: 3 }),
        async (root, planned, leaving, slowWrites, latencyTurns) => {
          const stage = new ExecutionStage(programOf(root));
          stage.latencyTurns = latencyTurns;
          for (const [write, fault] of planned) stage.faults.set(write, fault);
          for (const [copy, afterMs] of leaving) stage.leaves.set(copy, afterMs);
          for (const [write, ms] of slowWrites) stage.slowWrites.set(write, ms);
          const end = await stage.run();
          const { trace } = stage;
          // The writes that share their commit with the reply.
          await stage.clock.advance(60_000);
          stage.faults.clear();
          stage.leaves.clear();
          stage.slowWrites.clear();

          // INV-7: no sleep ended early; EarlyError is not caught unseen, since its text would be in the trace.
          expect(JSON.stringify([end, trace])).not.toContain("A sleep of");
          // INV-3: once, and as often as the journal says that it was.
          const labels = stage.committed.map((committed) => committed.split("#")[0]);
          expect(new Set(labels).size).toBe(labels.length);
          const recorded = stage.journal.filter(
            ({ name, event }) => event.type === "completed" && (name === "commit" || name === "flakyCommit"),
          );
          expect(stage.committed).toHaveLength(recorded.length);
          // Attempts are numbered on, and none is recorded twice.
          for (const { position, event } of stage.journal) {
            if (event.type !== "attempt-failed") continue;
            const same = stage.journal.filter(
              (other) =>
                other.position === position &&
                other.event.type === "attempt-failed" &&
                other.event.attempt === event.attempt,
            );
            expect(same).toHaveLength(1);
          }
          if (stage.lostItsEnd) return;
          // INV-8: the journal alone gives the same end, in the same order, and nothing is done again.
          const writes = stage.writes;
          expect(await stage.activate()).toEqual(end);
          if (stage.writes === writes) expect(stage.trace).toEqual(trace);
        },
      ),
      { numRuns: 800, seed: 20_300_101 },
    );
  });
});
