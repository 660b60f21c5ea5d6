// That the benchmarks of steps and sleepers measure what they say, in small: their figures are there, and are sane. How long
// anything takes is not asserted: that depends on the machine and on what it does beside.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resumptions } from "../../bench/src/replays.ts";
import { measureSleepers } from "../../bench/src/sleepers.ts";
import { stepCosts } from "../../bench/src/steps.ts";
import { openStore, type Store } from "../../bench/src/stores.ts";

const run = promisify(execFile);

/** Runs `npm run bench -- ...` and returns what it printed. */
async function bench(...args: readonly string[]): Promise<string> {
  const main = ["--conditions=@holdfast/source", "--expose-gc", "bench/src/main.ts"];
  const { stdout } = await run(process.execPath, [...main, ...args], {
    env: { ...process.env, BENCH_ROUNDS: "1" },
  });
  return stdout;
}

describe.each(["memory", "pglite"] as const)("on %s", (kind) => {
  let store: Store;
  beforeAll(async () => {
    store = await openStore(kind);
  });
  afterAll(() => store.close());

  it("steps are timed at each position, beside a baseline and the first position", async () => {
    const costs = await stepCosts(store, { positions: [5, 30, 60], window: 20, rounds: 2 });
    expect(costs.inTurn.map(({ name }) => name)).toEqual(["step 5", "step 30", "step 60"]);
    for (const { medianMs, p95Ms, ratios } of [costs.baseline, ...costs.inTurn, ...costs.inPassing]) {
      expect(medianMs).toBeGreaterThan(0);
      expect(p95Ms).toBeGreaterThanOrEqual(medianMs);
      expect(ratios).toHaveLength(2);
      expect(ratios.every((ratio) => Number.isFinite(ratio) && ratio > 0)).toBe(true);
    }
    expect(costs.inTurn[0]?.ratios).toEqual([1, 1]);
  });

  it("an execution of each length comes back, and its parts take no longer than the whole", async () => {
    const resumed = await resumptions(store, { lengths: [20, 100], rounds: 2 });
    expect(resumed.map(({ steps, rounds }) => [steps, rounds.length])).toEqual([
      [20, 2],
      [100, 2],
    ]);
    for (const { total, reading, replaying, firstTenth, lastTenth } of resumed.flatMap(
      ({ rounds }) => rounds,
    )) {
      for (const part of [reading, replaying, firstTenth, lastTenth]) expect(part).toBeGreaterThan(0);
      expect(reading + replaying).toBeLessThanOrEqual(total);
      expect(firstTenth + lastTenth).toBeLessThanOrEqual(replaying);
    }
  });

  it("sleepers are measured while they sleep and as they wake", async () => {
    const count = 200;
    const { late, timersLate, startedPerSecond, heapEach, timerHeapEach, answeredMs } = await measureSleepers(
      store,
      { count, withinMs: 1_000, leadMs: null },
    );
    expect(startedPerSecond).toBeGreaterThan(0);
    expect(Number.isFinite(heapEach) && Number.isFinite(timerHeapEach)).toBe(true);
    for (const { p50, p95, p99, most, totalMs } of [late, timersLate]) {
      expect([p50, p95, p99, most]).toEqual([p50, p95, p99, most].toSorted((a, b) => a - b));
      expect(totalMs).toBeGreaterThan(0);
    }
    // A sleep never ends early, by the wall clock; a timer of the platform may, by a millisecond.
    expect(late.p50).toBeGreaterThanOrEqual(0);
    expect(answeredMs).toBeGreaterThanOrEqual(late.totalMs);
  });
});

it("windows that overlap are refused: what one of them timed would be timed twice", async () => {
  const store = await openStore("memory");
  await expect(stepCosts(store, { positions: [5, 10], window: 20, rounds: 1 })).rejects.toThrow(RangeError);
});

describe("the command", () => {
  it("steps prints its tables", async () => {
    const where = ["--positions", "5,30,60", "--window", "20", "--lengths", "20,100"];
    const printed = await bench("steps", "--storage", "memory", ...where);
    expect(printed).toContain("step 60, in passing");
    expect(printed).toContain("100 steps");
    expect(printed).not.toContain("NaN");
  });

  it("sleepers prints its tables", async () => {
    const printed = await bench("sleepers", "--storage", "memory", "--count", "200", "--within", "1");
    expect(printed).toContain("a sleeping execution");
    expect(printed).toContain("sleeping executions");
    expect(printed).not.toContain("NaN");
  });

  it("fails for what it does not know", async () => {
    await expect(bench("stepps")).rejects.toThrow(/There is no "stepps"/u);
  });
});
