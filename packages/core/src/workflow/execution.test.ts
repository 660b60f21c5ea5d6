import { describe, expect, it } from "vitest";
import { ExecutionStage, type Fault, type Program } from "../../test/execution-stage.ts";

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Each is run once without a fault, and once with each fault at each of its writes. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  "a sequence": async (ctx, stage) => {
    stage.trace.push(await ctx.activities.commit("a"));
    stage.trace.push(await ctx.activities.take("b", 10));
    stage.trace.push(await ctx.activities.commit("c"));
    return stage.trace;
  },
  "Promise.all": async (ctx, stage) => {
    const all = await Promise.all([
      ctx.activities.commit("a", 30),
      ctx.activities.take("b", 10),
      ctx.activities.commit("c", 20),
    ]);
    stage.trace.push(...all);
    stage.trace.push(await ctx.activities.commit("d"));
    return all;
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

describe.each(Object.entries(PROGRAMS))("an execution: %s", (_name, program) => {
  it("replays to the same result without doing anything again (INV-8)", async () => {
    const stage = new ExecutionStage(program);
    const end = await stage.run();
    const trace = stage.trace;
    const replay = await stage.replay();
    expect(replay).toEqual({ end, trace, writes: 0, attempts: 0 });
  });

  it.each(FAULTS)("comes to the same end with the fault %s at each of its writes", async (fault) => {
    const calm = new ExecutionStage(program);
    const end = await calm.run();
    expect(calm.writes).toBeGreaterThan(0);
    for (let write = 1; write <= calm.writes; write += 1) {
      const stage = new ExecutionStage(program);
      stage.faults.set(write, fault);
      expect(await stage.run(), `write ${write}`).toEqual(end);
      expect(stage.trace, `write ${write}`).toEqual(calm.trace);
      expect(stage.committed.toSorted(), `write ${write} (INV-3)`).toEqual(calm.committed.toSorted());
      expect(stage.journal.map(outline).toSorted(), `write ${write}`).toEqual(
        calm.journal.map(outline).toSorted(),
      );
    }
  });
});

function outline({ position, kind, name, event }: ExecutionStage["journal"][number]): string {
  return `${position} ${kind} ${name} ${event.type}${event.type === "attempt-failed" ? event.attempt : ""}`;
}
void message;
