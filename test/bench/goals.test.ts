import { describe, expect, it } from "vitest";
import type { Compared } from "../../bench/src/compare.ts";
import { COMPARISONS, comparisonsNamed } from "../../bench/src/comparisons.ts";
import { NO_FACTS } from "../../bench/src/facts.ts";
import { GOALS, judge, type Bar, type Goal, type Measurements } from "../../bench/src/goals.ts";
import { peersNamed } from "../../bench/src/peers.ts";
import { listed, PEERS } from "../../bench/src/roster.ts";

const nothing: Measurements = { compared: [], facts: NO_FACTS };
const bar = (better: Bar["better"], limit: number, measured: number | null): Bar => ({
  better,
  limit,
  unit: "x",
  measured: () => measured,
});
const verdict = (goal: Pick<Goal, "must" | "aim">): string => judge({ title: "", ...goal }, nothing).verdict;

/** All comparisons, in which one contestant does so much, and the others do one a second. */
function everybodyDid(rate: (contestant: string) => number): readonly Compared[] {
  return COMPARISONS.map((comparison) => ({
    comparison,
    entries: comparison.entries.map((entry) => {
      const perSecond = rate(entry.contestant);
      return {
        entry,
        failure: null,
        rounds: [
          {
            perSecond,
            p50Ms: 1_000 / perSecond,
            p99Ms: 1_000 / perSecond,
            cpuUs: 1_000 / perSecond,
            resident: 1,
          },
        ],
      };
    }),
  }));
}

describe("a goal", () => {
  it("is met where its aim is, where its must is, or not at all", () => {
    expect(verdict({ must: [bar("more", 2, 2)], aim: [bar("more", 3, 3)] })).toBe("aim");
    expect(verdict({ must: [bar("more", 2, 2)], aim: [bar("more", 3, 2.9)] })).toBe("must");
    expect(verdict({ must: [bar("more", 2, 1.9)], aim: [bar("more", 3, 1.9)] })).toBe("missed");
    expect(verdict({ must: [bar("less", 2, 2.1)], aim: [] })).toBe("missed");
    expect(verdict({ must: [bar("less", 2, -1)], aim: [] })).toBe("must");
  });

  it("with several musts needs all of them", () => {
    expect(verdict({ must: [bar("more", 2, 5), bar("more", 2, 1)], aim: [bar("more", 1, 5)] })).toBe(
      "missed",
    );
  });

  it("of which something was not measured is met by nothing, and missed by what was", () => {
    expect(verdict({ must: [bar("more", 2, null)], aim: [bar("more", 3, 4)] })).toBe("not measured");
    expect(verdict({ must: [bar("more", 2, null), bar("more", 2, 1)], aim: [] })).toBe("missed");
    expect(verdict({ must: [bar("more", 2, 3)], aim: [bar("more", 3, null)] })).toBe("must");
  });
});

describe("the goals", () => {
  it("are not measured where nothing was", () => {
    expect(new Set(GOALS.map((goal) => judge(goal, nothing).verdict))).toEqual(new Set(["not measured"]));
  });

  const facts = Object.fromEntries(
    Object.keys(NO_FACTS).map((name) => [name, 0]),
  ) as unknown as typeof NO_FACTS;

  it("are each measured by what a whole run has", () => {
    const all = { compared: everybodyDid(() => 1), facts };
    for (const judged of GOALS.map((goal) => judge(goal, all)))
      for (const each of [...judged.must, ...judged.aim]) expect(each.measured, judged.title).not.toBeNull();
  });

  it("hold Holdfast against the others, and not the other way round", () => {
    const fast = everybodyDid((name) => (name.startsWith("holdfast-") ? 1_000_000 : 1));
    expect(GOALS.map((goal) => judge(goal, { compared: fast, facts }).verdict)).not.toContain("missed");
    const slow = everybodyDid((name) => (name.startsWith("holdfast-") ? 1 : 1_000_000));
    const compared = GOALS.map((goal) => judge(goal, { compared: slow, facts: NO_FACTS }).verdict);
    expect(compared.filter((each) => each === "missed")).toHaveLength(14);
  });
});

describe("the comparisons", () => {
  it("have ids that name files and differ", () => {
    const ids = COMPARISONS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z0-9-]+$/u);
  });

  it("have no peer as their baseline: without peers there is something to compare with", () => {
    for (const { entries } of COMPARISONS) expect(listed(entries[0]!.contestant).kind).toBe("limit");
  });

  it("are chosen by id, or by how ids begin", () => {
    const named = (...only: readonly string[]): readonly string[] =>
      comparisonsNamed(only).map(({ id }) => id);
    expect(named("persisted-rpc")).toEqual(["persisted-rpc"]);
    expect(named("persisted", "drain")).toEqual(["persisted-rpc", "persisted-rpc-idle", "drain"]);
    expect(() => named("dain")).toThrow(/no comparison "dain".*drain/u);
  });
});

describe("the peers", () => {
  it("are all, none, or those of the products that are named", () => {
    expect(peersNamed(undefined)).toEqual(PEERS);
    expect(peersNamed("none")).toEqual([]);
    expect(peersNamed("effect,dbos")).toEqual(["dbos", "effect", "effect-memory"]);
    expect(() => peersNamed("holdfast-postgres")).toThrow(RangeError);
  });
});
