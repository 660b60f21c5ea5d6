import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PendingIndex, type PendingEntry } from "./pending-index.ts";

function entry(sequence: number, deliverAt: number | null = null): PendingEntry {
  return { sequence, deliverAt, place: "none" };
}

function sequenceOf({ sequence }: PendingEntry): number {
  return sequence;
}

const times = fc.option(fc.integer({ min: 0, max: 20 }), { nil: null });
const steps = fc.oneof(
  fc.record({ do: fc.constant("add" as const), deliverAt: times }),
  fc.record({ do: fc.constant("remove" as const), of: fc.nat(60) }),
  fc.record({ do: fc.constant("putOff" as const), of: fc.nat(60), deliverAt: times }),
  fc.record({ do: fc.constant("read" as const), now: fc.integer({ min: 0, max: 20 }) }),
);

describe("a PendingIndex", () => {
  it("gives what a search through everything gives, whatever is done in whatever order, on clocks that jump", () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 400 }), (script) => {
        const index = new PendingIndex<PendingEntry>();
        const pending = new Map<number, PendingEntry>();
        const seen: unknown[] = [];
        const expected: unknown[] = [];
        let made = 0;
        for (const step of script) {
          if (step.do === "add") {
            const added = entry((made += 1), step.deliverAt);
            pending.set(added.sequence, added);
            index.add(added);
          } else if (step.do === "read") {
            const due = [...pending.values()].filter(
              ({ deliverAt }) => deliverAt === null || deliverAt <= step.now,
            );
            const later = [...pending.values()].flatMap(({ deliverAt }) =>
              deliverAt !== null && deliverAt > step.now ? deliverAt : [],
            );
            const sequences = due.map(sequenceOf).toSorted((a, b) => a - b);
            seen.push([
              index.hasDue(step.now),
              Array.from(index.due(step.now), sequenceOf),
              index.nextDueAt(step.now),
            ]);
            expected.push([due.length > 0, sequences, later.length === 0 ? null : Math.min(...later)]);
          } else {
            const found = pending.get(step.of);
            if (found === undefined) continue;
            index.remove(found);
            if (step.do === "remove") {
              pending.delete(step.of);
              index.remove(found);
            } else {
              found.deliverAt = step.deliverAt;
              index.add(found);
            }
          }
        }
        expect(seen).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it("does not grow with entries that are over, or that are put off again and again", () => {
    const index = new PendingIndex<PendingEntry>();
    const sleeper = entry(1, 1_000);
    index.add(sleeper);
    for (let round = 0; round < 20_000; round += 1) {
      const quick = entry(2 + round);
      index.add(quick);
      index.remove(quick);
      index.remove(sleeper);
      sleeper.deliverAt = 1_000 + round;
      index.add(sleeper);
    }
    expect([...index.due(0)]).toEqual([]);
    expect(index.nextDueAt(0)).toBe(20_999);
    expect(index.entriesHeld()).toBeLessThan(300);
  });
});
