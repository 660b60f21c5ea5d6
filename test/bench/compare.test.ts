import { describe, expect, it } from "vitest";
import { compare, figureOf, ratioOf, type ComparedEntry } from "../../bench/src/compare.ts";
import type { Comparison, Entry } from "../../bench/src/comparisons.ts";
import type { Asked } from "../../bench/src/contestant-process.ts";
import type { ContestantName } from "../../bench/src/roster.ts";
import { turnsOf } from "../../bench/src/turns.ts";
import type { Round } from "../../bench/src/workload-round.ts";

const entry = (contestant: ContestantName): Entry => ({ contestant, workload: "drain", inFlight: 1 });
const three: Comparison = {
  id: "three",
  title: "Three",
  units: "units",
  figure: "perSecond",
  entries: [entry("raw-postgres"), entry("holdfast-postgres"), entry("dbos")],
};
const roundOf = (perSecond: number): Round => ({ perSecond, p50Ms: 1, p99Ms: 2, cpuUs: null, resident: 1 });

/** Compares with contestants that do as they are told, and notes who was asked for what. */
async function compareFakes(
  fakes: Partial<Record<ContestantName, Partial<Asked> | Error>>,
  rounds: number,
): Promise<{ log: string[]; entries: readonly ComparedEntry[] }> {
  const log: string[] = [];
  const { entries } = await compare(three, {
    rounds,
    ms: 700,
    warmUpMs: 0,
    profile: null,
    say: () => undefined,
    open(name) {
      const fake = fakes[name];
      if (fake instanceof Error) return Promise.reject(fake);
      return Promise.resolve({
        round(_workload, _inFlight, ms) {
          log.push(`${name} ${ms}`);
          return Promise.resolve(roundOf(10));
        },
        profile: () => Promise.resolve(),
        close() {
          log.push(`${name} closes`);
          return Promise.resolve();
        },
        ...fake,
      });
    },
  });
  return { log, entries };
}

describe("the turns of a round", () => {
  it("begin with another one each round, and each has one turn", () => {
    expect([0, 1, 2, 3].map((round) => turnsOf(3, round))).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 1, 2],
    ]);
  });
});

describe("a comparison", () => {
  it("gives each contestant a turn that does not count, then one in each round, and closes all", async () => {
    const { log, entries } = await compareFakes({}, 2);
    const turns = ["raw-postgres 700", "holdfast-postgres 700", "dbos 700"];
    const [raw = "", ours = "", dbos = ""] = turns;
    expect(log.slice(0, 9)).toEqual([...turns, ...turns, ours, dbos, raw]);
    expect(log.slice(9).toSorted()).toEqual([
      "dbos closes",
      "holdfast-postgres closes",
      "raw-postgres closes",
    ]);
    expect(entries.map(({ rounds }) => rounds.length)).toEqual([2, 2, 2]);
  });

  it("goes on without a contestant that does not open, and says why", async () => {
    const { entries } = await compareFakes({ dbos: new Error("no such package") }, 2);
    expect(entries.map(({ rounds }) => rounds.length)).toEqual([2, 2, 0]);
    expect(entries.map(({ failure }) => failure)).toEqual([null, null, "no such package"]);
  });

  it("asks a contestant that failed for nothing more", async () => {
    let asked = 0;
    const round = (): Promise<Round> => {
      asked += 1;
      return asked === 3 ? Promise.reject(new Error("it broke")) : Promise.resolve(roundOf(5));
    };
    const { entries } = await compareFakes({ dbos: { round } }, 5);
    expect(asked).toBe(3);
    expect(entries[2]?.rounds).toHaveLength(1);
    expect(entries[2]?.failure).toBe("it broke");
  });
});

describe("figures of rounds", () => {
  const measured = (...rates: readonly number[]): ComparedEntry => ({
    entry: entry("dbos"),
    rounds: rates.map(roundOf),
    failure: null,
  });

  it("are the median, the least and the most", () => {
    expect(figureOf(measured(3, 9, 1), "perSecond")).toEqual({ median: 3, least: 1, most: 9 });
  });

  it("of an even number of rounds have the mean of the two in the middle as their median", () => {
    expect(figureOf(measured(3, 9, 1, 4), "perSecond")?.median).toBe(3.5);
  });

  it("are none where no round has them", () => {
    expect(figureOf(measured(), "perSecond")).toBeNull();
    expect(figureOf(measured(1, 2), "cpuUs")).toBeNull();
  });

  it("are compared round by round: who had the same neighbours", () => {
    // Each round twice as fast, whatever the machine did; by the medians it would be 4.
    expect(ratioOf(measured(2, 200, 20), measured(1, 100, 10), "perSecond")).toEqual({
      median: 2,
      least: 2,
      most: 2,
    });
    expect(ratioOf(measured(2, 8, 20), measured(1, 2, 10), "perSecond")?.median).toBe(2);
  });

  it("are compared for rounds that both have", () => {
    expect(ratioOf(measured(4, 4), measured(1), "perSecond")).toEqual({ median: 4, least: 4, most: 4 });
    expect(ratioOf(measured(4), measured(), "perSecond")).toBeNull();
  });
});
