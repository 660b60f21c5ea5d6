import {
  activity,
  ConfigError,
  DefinitionError,
  defineWorkflow,
  NonDeterminismError,
  type ExportedJournal,
} from "@holdfast/core";
import { createTestCluster, replayWorkflow } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const Trip = defineWorkflow({
  name: "Trip",
  input: z.object({ id: z.string() }),
  output: z.string(),
  key: ({ id }) => id,
  hashKey: false,
  signals: { go: z.string() },
});
const log: string[] = [];
const activities = {
  book: activity(async (_ctx, what: string) => {
    log.push(what);
    return what;
  }),
};
const trip = Trip.implement({
  activities,
  async execute(ctx, { id }) {
    const [flight] = await Promise.all([ctx.activities.book("flight"), ctx.activities.book("hotel")]);
    const go = await ctx.signal("go");
    ctx.onCompensate("undo", () => ctx.activities.book("nothing"));
    await ctx.sleep("1 minute");
    if (go === "fail") throw new Error("it fails");
    return `${id} ${flight} ${go}`;
  },
});

/** Journals of one execution at each of its stages, as they come back from a file. */
async function journals(): Promise<
  Record<"waiting" | "asleep" | "completed" | "failed" | "empty", ExportedJournal>
> {
  await using cluster = await createTestCluster({ runners: 2, register: [trip] });
  const trips = cluster.workflow(Trip);
  const copy = async (id: string): Promise<ExportedJournal> =>
    JSON.parse(JSON.stringify(await trips.get(id).exportJournal())) as ExportedJournal;
  await trips.start({ id: "a" });
  await trips.start({ id: "b" });
  await cluster.advance("5s");
  const waiting = await copy("a");
  await trips.get("a").signal("go", "now");
  await trips.get("b").signal("go", "fail");
  await cluster.advance("10s");
  const asleep = await copy("a");
  await cluster.advance("2 minutes");
  return {
    waiting,
    asleep,
    completed: await copy("a"),
    failed: await copy("b"),
    empty: { ...waiting, entries: [] },
  };
}

describe("replayWorkflow", () => {
  it("tells where code that fits comes to, and does nothing", async () => {
    const of = await journals();
    log.length = 0;
    await expect(replayWorkflow(trip, of.empty)).resolves.toEqual({ status: "waiting" });
    await expect(replayWorkflow(trip, of.waiting)).resolves.toEqual({ status: "waiting" });
    await expect(replayWorkflow(trip, of.asleep)).resolves.toEqual({ status: "waiting" });
    await expect(replayWorkflow(trip, of.completed)).resolves.toEqual({
      status: "completed",
      result: "a flight now",
    });
    await expect(replayWorkflow(trip, of.failed)).resolves.toMatchObject({
      status: "failed",
      error: { name: "WorkflowFailedError" },
    });
    expect(log).toEqual([]);
  });

  it("rejects with both steps where code does not fit", async () => {
    const of = await journals();
    const swapped = Trip.implement({
      activities,
      async execute(ctx) {
        await ctx.activities.book("flight");
        await ctx.sleep("1 minute");
        return "x";
      },
    });
    for (const journal of [of.waiting, of.completed]) {
      const error = await replayWorkflow(swapped, journal).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(NonDeterminismError);
      expect(error).toMatchObject({
        position: 1,
        recorded: 'activity "book"',
        asked: 'sleep "sleep"',
        executionId: "a",
      });
      expect((error as NonDeterminismError).journal).toEqual(
        expect.arrayContaining([{ position: 0, step: 'activity "book"' }]),
      );
    }
    await expect(replayWorkflow(swapped, of.empty)).resolves.toEqual({ status: "waiting" });
  });

  it("rejects where code that fits every step comes to another end", async () => {
    const { completed } = await journals();
    const other = Trip.implement({
      activities,
      async execute(ctx) {
        await Promise.all([ctx.activities.book("flight"), ctx.activities.book("hotel")]);
        await ctx.signal("go");
        await ctx.sleep("1 minute");
        return "another result";
      },
    });
    await expect(replayWorkflow(other, completed)).rejects.toThrow(/holds a result.*another result/s);
  });

  it("goes past children that were started, and what they were told", async () => {
    const Part = defineWorkflow({
      name: "Part",
      input: z.string(),
      output: z.string(),
      signals: { go: z.string() },
    });
    const Whole = defineWorkflow<string, string>({ name: "Whole", key: (id) => id, hashKey: false });
    const part = Part.implement({ execute: (ctx) => ctx.signal("go") });
    const whole = Whole.implement({
      async execute(ctx) {
        const child = await ctx.child(Part).start("part");
        await child.signal("go", "gone");
        const result = await child.result();
        await child.cancel();
        return ctx.run("end", () => `${result} to its end`);
      },
    });
    await using cluster = await createTestCluster({ register: [part, whole] });
    const handle = await cluster.workflow(Whole).start("1");
    await cluster.advance("5s");
    await expect(replayWorkflow(whole, await handle.exportJournal())).resolves.toEqual({
      status: "completed",
      result: "gone to its end",
    });
  });

  it("refuses what is no journal of this workflow, and code without its version", async () => {
    const { completed } = await journals();
    await expect(replayWorkflow(trip, {} as never)).rejects.toThrow(ConfigError);
    for (const entry of [null, {}, "0", { event: null }]) {
      const damaged = { ...completed, entries: [...completed.entries, entry as never] };
      await expect(replayWorkflow(trip, damaged)).rejects.toThrow(ConfigError);
    }
    for (const message of [null, "0", undefined]) {
      const damaged = { ...completed, inbox: [message as never] };
      await expect(replayWorkflow(trip, damaged)).rejects.toThrow(ConfigError);
    }
    await expect(replayWorkflow(Trip as never, completed)).rejects.toThrow(/"implementation".*implement\(\)/);
    await expect(replayWorkflow(trip, { ...completed, workflow: "Other" })).rejects.toThrow(
      /takes a journal of Trip/,
    );
    const versioned = defineWorkflow({ name: "Trip", version: "2", output: z.string() }).implement({
      execute: async () => "x",
    });
    await expect(replayWorkflow(versioned, completed)).rejects.toThrow(DefinitionError);
  });
});
