import { describe, expect, it } from "vitest";
import { SeededRandom } from "./seeded-random.ts";
import { SystemRandom } from "./system-random.ts";
import { UuidV7 } from "./uuid-v7.ts";

const UUID_V7 = /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/;

describe.each([
  ["SystemRandom", () => new SystemRandom()],
  ["SeededRandom", () => new SeededRandom(42)],
])("%s", (_name, make) => {
  it("gives numbers in [0, 1) that fill the interval evenly", () => {
    const random = make();
    const buckets = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 20_000; draw += 1) {
      const bucket = Math.floor(random.next() * 10);
      buckets[bucket] = (buckets[bucket] ?? Number.NaN) + 1;
    }
    expect(buckets).toHaveLength(10);
    for (const count of buckets) expect(Math.abs(count - 2_000)).toBeLessThan(300);
  });

  it("gives ids that look like UUIDv7, rise, and differ", () => {
    const random = make();
    const ids = Array.from({ length: 20_000 }, () => random.id());
    expect(ids.filter((id) => !UUID_V7.test(id))).toEqual([]);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("UuidV7", () => {
  it("rises although the wall time goes back or stands still for longer than its counter lasts", () => {
    const ids = new UuidV7(() => 0);
    const made = [ids.make(5_000), ids.make(4_000), ids.make(5_000)];
    for (let count = 0; count < 10_000; count += 1) made.push(ids.make(3_000));
    expect(made.toSorted()).toEqual(made);
    expect(new Set(made).size).toBe(made.length);
  });
});

describe("a SeededRandom", () => {
  it("gives the same numbers and ids for the same seed, and others for another", () => {
    expect(sample(7)).toEqual(sample(7));
    expect(sample(7)).not.toEqual(sample(8));
    expect(sample(7)).not.toEqual(sample(7 + 2 ** 32));
  });

  it("gives the words that it always gave, so that a seed reported once replays with later versions", () => {
    const random = new SeededRandom(42);
    expect(Array.from({ length: 4 }, () => random.uint32())).toMatchInlineSnapshot(`
      [
        2475684579,
        2739248900,
        1570677243,
        4207500844,
      ]
    `);
  });

  it("forks streams that differ by label and do not depend on what was drawn", () => {
    const early = new SeededRandom(1).fork("network");
    const parent = new SeededRandom(1);
    parent.next();
    parent.id();
    const late = parent.fork("network");
    const other = parent.fork("storage");
    const drawn = words(early);
    expect(words(late)).toEqual(drawn);
    expect(words(other)).not.toEqual(drawn);
    expect(words(new SeededRandom(1))).not.toEqual(drawn);
  });

  it("puts the time it is given into ids, so that those of several streams sort by time of making", () => {
    let now = 1_893_456_000_000;
    const random = new SeededRandom(1, () => now);
    const fork = random.fork("other");
    const ids = [random.id()];
    now += 1;
    ids.push(fork.id());
    now += 1;
    ids.push(random.id());
    expect(ids.toSorted()).toEqual(ids);
  });
});

function sample(seed: number): unknown[] {
  const random = new SeededRandom(seed);
  return [random.next(), random.next(), random.id(), random.id()];
}

function words(random: SeededRandom): number[] {
  return Array.from({ length: 8 }, () => random.uint32());
}
