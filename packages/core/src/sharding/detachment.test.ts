import { describe, expect, it } from "vitest";
import {
  ATTACH_AFTER_MS,
  DETACH_AFTER_MS,
  Detachment,
  LONGEST_STRETCH_MS,
  type Backend,
} from "./detachment.ts";

/** Asks each backend every 500 ms from `from` to `until`, and returns what was decided, and when. */
function observe(
  detachment: Detachment,
  span: { from: number; until: number },
  ok: (backend: Backend, at: number) => boolean,
): readonly string[] {
  const decisions: string[] = [];
  for (let at = span.from; at <= span.until; at += 500) {
    for (const backend of ["storage", "leases"] as const)
      detachment.reachability[backend].begin(at)(ok(backend, at), at);
    const decision = detachment.decide(at);
    if (decision !== null) decisions.push(`${decision} at ${at}`);
  }
  return decisions;
}

describe("detachment", () => {
  it.each([
    ["storage", "storage is out of reach"],
    ["leases", "the lease store is out of reach"],
  ] as const)(
    "detaches after %s failed for the whole window, although the other answers (D1)",
    (broken, reason) => {
      const detachment = new Detachment();
      const decisions = observe(detachment, { from: 0, until: 30_000 }, (backend) => backend !== broken);
      expect(decisions).toEqual([`detach at ${DETACH_AFTER_MS}`]);
      expect(detachment.reason).toBe(reason);
    },
  );

  it("does not detach while there is one answer in each window", () => {
    const detachment = new Detachment();
    expect(observe(detachment, { from: 0, until: 60_000 }, (_, at) => at % 4_000 === 0)).toEqual([]);
  });

  it("attaches after both answered without a failure for a stretch", () => {
    const detachment = new Detachment();
    observe(detachment, { from: 0, until: 10_000 }, () => false);
    expect(detachment.reason).toBe("storage and the lease store are out of reach");
    observe(detachment, { from: 10_500, until: 20_000 }, (backend) => backend === "storage");
    const healthy = observe(detachment, { from: 20_500, until: 40_000 }, () => true);
    expect(healthy).toEqual([`attach at ${20_500 + ATTACH_AFTER_MS}`]);
    expect([detachment.isDetached, detachment.reason]).toEqual([false, null]);
  });

  it("stays detached while failures come between", () => {
    const detachment = new Detachment();
    observe(detachment, { from: 0, until: 6_000 }, () => false);
    expect(observe(detachment, { from: 6_500, until: 60_000 }, (_, at) => at % 1_500 !== 0)).toEqual([]);
  });

  it("waits for twice as long each time that it was soon again, and no longer than a minute (D3)", () => {
    const detachment = new Detachment();
    const stretches: number[] = [];
    let at = 0;
    for (let round = 0; round < 8; round += 1) {
      observe(detachment, { from: at, until: at + 6_000 }, () => false);
      const from = at + 6_500;
      const [decision] = observe(detachment, { from, until: from + 70_000 }, () => true);
      stretches.push(Number(decision?.split(" ").at(-1)) - from);
      at = from + (stretches.at(-1) ?? 0) + 1_000;
      for (const backend of ["storage", "leases"] as const)
        detachment.reachability[backend].begin(at)(true, at);
      at += 500;
    }
    expect(stretches.slice(0, 4)).toEqual([2_000, 4_000, 8_000, 16_000]);
    expect(Math.max(...stretches)).toBe(LONGEST_STRETCH_MS);
  });
});
