// What a round of a workload comes to. How long anything takes is not asserted: that depends on the machine.

import { describe, expect, it } from "vitest";
import { topSelfTimes } from "../../bench/src/profile.ts";
import { roundOf } from "../../bench/src/workload-round.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a closed loop", () => {
  it("has so many callers, each with one call at a time", async () => {
    const under = [0, 0, 0];
    let most = 0;
    await roundOf(
      {
        kind: "closed loop",
        async call(caller) {
          most = Math.max(most, (under[caller] = (under[caller] ?? Number.NaN) + 1));
          await turn();
          under[caller] = (under[caller] ?? Number.NaN) - 1;
        },
      },
      3,
      20,
    );
    expect(most).toBe(1);
    expect(under).toEqual([0, 0, 0]);
  });

  it("counts units, and what they took", async () => {
    let calls = 0;
    const call = (): Promise<void> => {
      calls += 1;
      return turn();
    };
    const from = performance.now();
    const round = await roundOf({ kind: "closed loop", unitsPerCall: 100, call }, 2, 30);
    const seconds = (performance.now() - from) / 1_000;
    expect(round.perSecond).toBeGreaterThanOrEqual((calls * 100) / seconds);
    expect(round.p99Ms).toBeGreaterThanOrEqual(round.p50Ms ?? Number.NaN);
    expect(round.cpuUs).toBeGreaterThan(0);
  });

  it("keeps the times of some of very many calls", async () => {
    const round = await roundOf({ kind: "closed loop", call: () => Promise.resolve() }, 1, 150);
    expect(round.p50Ms).toBeGreaterThanOrEqual(0);
    expect(round.p50Ms).toBeLessThan(1);
  });

  it("that is asked for alone has one caller, the first", async () => {
    const callers: number[] = [];
    await roundOf(
      { kind: "closed loop", call: (caller) => Promise.resolve(callers.push(caller)) },
      "alone",
      1,
    );
    expect(callers).toEqual([0]);
  });

  it("fails with its call", async () => {
    const call = (): Promise<void> => Promise.reject(new Error("refused"));
    await expect(roundOf({ kind: "closed loop", call }, 2, 10)).rejects.toThrow("refused");
  });
});

it("a workload that is called alone may say how long it took", async () => {
  const round = await roundOf({ kind: "alone", call: () => Promise.resolve(4) }, 1, 1);
  expect([round.p50Ms, round.perSecond]).toEqual([4, 250]);
});

it("a batch says what it did, and its preparation does not count", async () => {
  const round = await roundOf({ kind: "batch", run: () => Promise.resolve({ units: 50, ms: 10 }) }, 1, 1);
  expect(round).toMatchObject({ perSecond: 5_000, p50Ms: null, p99Ms: null, cpuUs: null });
});

describe("the lines of a profile", () => {
  const node = (id: number, functionName: string, url = "") => ({
    id,
    callFrame: { functionName, url, lineNumber: 6 },
  });

  it("are those with the most time of their own, idle time aside", () => {
    const profile = {
      nodes: [
        node(1, "(idle)"),
        node(2, "hot", "file:///home/me/holdfast/packages/core/src/a.ts"),
        node(3, "", "file:///home/me/holdfast/node_modules/pg/lib/client.js"),
        node(4, "post", "node:inspector"),
      ],
      samples: [1, 2, 3, 2, 1, 4],
      timeDeltas: [9_000, 2_000, 1_000, 1_000, 9_000, 9_000],
    };
    expect(topSelfTimes(profile, 5)).toEqual([
      { where: "hot packages/core/src/a.ts:7", part: 0.75, ms: 3 },
      { where: "(anonymous) node_modules/pg/lib/client.js:7", part: 0.25, ms: 1 },
    ]);
    expect(topSelfTimes(profile, 1)).toHaveLength(1);
  });
});
