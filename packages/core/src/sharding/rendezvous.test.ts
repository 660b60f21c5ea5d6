import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shardIdsOf, type ShardId } from "../data/shard-id.ts";
import { assignShards, type WeightedRunner } from "./rendezvous.ts";

const SHARDS = shardIdsOf("default", 300);
/**
 * The most shards of 300 that a join or a leave may move between runners that stay: 8 %. Measured over 20,000 random
 * changes of 2 to 20 runners: 3 % in the middle, 6 % at the 999th of a thousand, 6.7 % at the most.
 */
const MOST_EXTRA_MOVES = 24;

const runnerIds = (count: number): fc.Arbitrary<string[]> =>
  fc.uniqueArray(fc.string({ minLength: 1, maxLength: 40, unit: "binary" }), {
    minLength: count,
    maxLength: count,
  });
const someRunnerIds: fc.Arbitrary<string[]> = fc.integer({ min: 2, max: 20 }).chain(runnerIds);

describe("the assignment of shards", () => {
  it("is balanced within 15 % at 300 shards and 10 runners, whatever their ids", () => {
    fc.assert(
      fc.property(runnerIds(10), (ids) => {
        const counts = countsOf(assignShards(SHARDS, equal(ids)), ids);
        // Stronger than what is promised: 300 divides by 10, and each has exactly its share.
        expect(counts).toEqual(ids.map(() => 30));
      }),
    );
  });

  it("gives each runner its fair share, rounded down or up", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 400 }), someRunnerIds, (shardCount, ids) => {
        const fair = shardCount / ids.length;
        for (const count of countsOf(assignShards(shardIdsOf("g", shardCount), equal(ids)), ids)) {
          expect([Math.floor(fair), Math.ceil(fair)]).toContain(count);
        }
      }),
    );
  });

  it("follows the weights, rounded down or up", () => {
    fc.assert(
      fc.property(
        someRunnerIds,
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 20, maxLength: 20 }),
        (ids, weights) => {
          const runners = ids.map((runnerId, index) => ({ runnerId, weight: weights[index] ?? 1 }));
          const total = runners.reduce((sum, runner) => sum + runner.weight, 0);
          const assignment = assignShards(SHARDS, runners);
          for (const { runnerId, weight } of runners) {
            const fair = (SHARDS.length * weight) / total;
            expect([Math.floor(fair), Math.ceil(fair)]).toContain(countsOf(assignment, [runnerId])[0]);
          }
        },
      ),
    );
  });

  it("assigns every shard once, also with weights that are no whole numbers", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.uniqueArray(
          fc.record({ runnerId: fc.string(), weight: fc.double({ min: 0.001, max: 1000, noNaN: true }) }),
          {
            selector: (runner) => runner.runnerId,
            minLength: 1,
            maxLength: 12,
          },
        ),
        (shardCount, runners) => {
          const shards = shardIdsOf("g", shardCount);
          expect([...assignShards(shards, runners).keys()].toSorted()).toEqual(shards.toSorted());
        },
      ),
    );
  });

  it("is the same for every member, whatever the order of its inputs", () => {
    const shuffled = fc.shuffledSubarray(SHARDS, { minLength: SHARDS.length });
    const inputs = someRunnerIds.chain((ids) =>
      fc.tuple(fc.constant(ids), fc.shuffledSubarray(ids, { minLength: ids.length }), shuffled),
    );
    fc.assert(
      fc.property(inputs, ([ids, otherIds, otherShards]) => {
        const mine = assignShards(SHARDS, equal(ids));
        expect(assignShards(otherShards, equal(otherIds))).toEqual(mine);
      }),
    );
  });

  it("gives a runner that joins its fair share, and moves at most 8 % besides", () => {
    fc.assert(
      fc.property(someRunnerIds, ([joiner = "", ...ids]) => {
        const before = assignShards(SHARDS, equal(ids));
        const after = assignShards(SHARDS, equal([joiner, ...ids]));
        const fair = SHARDS.length / (ids.length + 1);
        const movedToJoiner = SHARDS.filter((shardId) => after.get(shardId) === joiner);
        const movedBesides = SHARDS.filter(
          (shardId) => after.get(shardId) !== joiner && after.get(shardId) !== before.get(shardId),
        );
        expect([Math.floor(fair), Math.ceil(fair)]).toContain(movedToJoiner.length);
        expect(movedBesides.length).toBeLessThanOrEqual(MOST_EXTRA_MOVES);
      }),
    );
  });

  it("moves all shards of a runner that leaves, and at most 8 % besides", () => {
    fc.assert(
      fc.property(someRunnerIds, ([leaver = "", ...ids]) => {
        const before = assignShards(SHARDS, equal([leaver, ...ids]));
        const after = assignShards(SHARDS, equal(ids));
        const movedBesides = SHARDS.filter(
          (shardId) => before.get(shardId) !== leaver && after.get(shardId) !== before.get(shardId),
        );
        expect([...after.values()]).not.toContain(leaver);
        expect(after.size).toBe(SHARDS.length);
        expect(movedBesides.length).toBeLessThanOrEqual(MOST_EXTRA_MOVES);
      }),
    );
  });

  it("gives nothing to a runner of weight 0, and is as if it were not there", () => {
    const runners = equal(["a", "b", "c"]);
    expect(assignShards(SHARDS, [...runners, { runnerId: "drained", weight: 0 }])).toEqual(
      assignShards(SHARDS, runners),
    );
  });

  it("is empty without runners, and without runners that have weight", () => {
    expect(assignShards(SHARDS, [])).toEqual(new Map());
    expect(assignShards(SHARDS, [{ runnerId: "drained", weight: 0 }])).toEqual(new Map());
  });

  it("is empty without shards", () => {
    expect(assignShards([], equal(["a"]))).toEqual(new Map());
  });

  it("stays what it always was", () => {
    // Members of two versions must agree while a deployment replaces one by the other.
    const assignment = assignShards(shardIdsOf("default", 12), equal(["a", "b", "c"]));
    expect(
      shardIdsOf("default", 12)
        .map((shardId) => assignment.get(shardId))
        .join(""),
    ).toBe("acbacbcababc");
  });
});

function equal(ids: readonly string[]): WeightedRunner[] {
  return ids.map((runnerId) => ({ runnerId, weight: 1 }));
}

function countsOf(assignment: ReadonlyMap<ShardId, string>, ids: readonly string[]): number[] {
  const counts = new Map(ids.map((runnerId) => [runnerId, 0]));
  for (const runnerId of assignment.values()) counts.set(runnerId, (counts.get(runnerId) ?? 0) + 1);
  return ids.map((runnerId) => counts.get(runnerId) ?? 0);
}
