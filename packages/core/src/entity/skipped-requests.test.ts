import { describe, expect, it } from "vitest";
import type { EntityAddress } from "../data/entity-address.ts";
import { SkippedRequests } from "./skipped-requests.ts";

const A: EntityAddress = { entityType: "Shop", entityId: "a", shardId: "default:1" };
const B: EntityAddress = { entityType: "Shop", entityId: "b", shardId: "default:2" };
const MOST = 5_000;

/** Adds so many of an entity, with sequences from `first` on. */
function add(skipped: SkippedRequests, address: EntityAddress, count: number, first = 0): void {
  for (let sequence = first; sequence < first + count; sequence += 1) skipped.add(sequence, address);
}

function read(skipped: SkippedRequests): { named: number; entities: readonly EntityAddress[] } {
  return { named: [...skipped.sequences()].length, entities: [...skipped.entities()] };
}

/** What has too many of `A` and one of `B`. */
function tooMany(): SkippedRequests {
  const skipped = new SkippedRequests();
  skipped.beginRead(0);
  add(skipped, B, 1);
  add(skipped, A, MOST, 1);
  return skipped;
}

describe("requests that no code handles", () => {
  it("are left out one by one", () => {
    const skipped = new SkippedRequests();
    skipped.beginRead(0);
    add(skipped, A, 2, 7);
    add(skipped, B, 1, 9);
    expect([...skipped.sequences()]).toEqual([7, 8, 9]);
    expect([...skipped.entities()]).toEqual([]);
    expect(skipped.isLeftOut(A)).toBe(false);
  });

  it("are left out with all that is their entity's where they are too many, which is that of most of them", () => {
    const skipped = tooMany();
    expect(read(skipped)).toEqual({ named: 1, entities: [A] });
    expect([skipped.isLeftOut(A), skipped.isLeftOut(B)]).toEqual([true, false]);
    add(skipped, B, 100, MOST + 1);
    expect(read(skipped)).toEqual({ named: 101, entities: [A] });
  });

  it("are left out one by one all the same by a read each ten seconds, during which their entity counts as left out", () => {
    const skipped = tooMany();
    for (const [now, looks] of [
      [500, true],
      [1_000, false],
      [10_000, false],
      [10_500, true],
      [11_000, false],
    ] as const) {
      skipped.beginRead(now);
      expect(read(skipped), `at ${now}`).toEqual(
        looks ? { named: MOST + 1, entities: [] } : { named: 1, entities: [A] },
      );
      expect(skipped.isLeftOut(A)).toBe(true);
    }
  });

  it("are looked for behind those that are known, so many at a time", () => {
    const skipped = tooMany();
    skipped.beginRead(500);
    add(skipped, A, MOST - 1, MOST + 1);
    expect(read(skipped)).toEqual({ named: 2 * MOST, entities: [] });
    add(skipped, A, 1, 2 * MOST);
    expect(read(skipped)).toEqual({ named: 1, entities: [A] });
    skipped.beginRead(10_500);
    expect(read(skipped)).toEqual({ named: 2 * MOST + 1, entities: [] });
  });

  it("are all forgotten where entity types are registered: code here may handle them", () => {
    const skipped = tooMany();
    skipped.clear();
    expect(skipped.isEmpty).toBe(true);
    add(skipped, A, MOST);
    expect(skipped.isLeftOut(A), "what is forgotten counts no more").toBe(false);
  });

  it("are forgotten with their shard", () => {
    const skipped = tooMany();
    skipped.forgetShard(A.shardId);
    expect(read(skipped)).toEqual({ named: 1, entities: [] });
    expect(skipped.isLeftOut(A)).toBe(false);
    skipped.forgetShard(B.shardId);
    expect(skipped.isEmpty).toBe(true);
    add(skipped, A, MOST);
    expect(skipped.isLeftOut(A), "what left counts no more").toBe(false);
  });
});
