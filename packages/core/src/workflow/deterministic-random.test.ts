import { describe, expect, it } from "vitest";
import { DeterministicRandom } from "./deterministic-random.ts";

describe("chance in a workflow", () => {
  it("is the same for one execution, draw by draw", () => {
    const [first, again] = [new DeterministicRandom("order-1"), new DeterministicRandom("order-1")];
    const draw = (random: DeterministicRandom): unknown[] => [
      random.next(),
      random.uuid(),
      random.next(),
      random.uuid(),
    ];
    expect(draw(first)).toEqual(draw(again));
  });

  it("is another one for each execution and each draw", () => {
    const seen = new Set<number | string>();
    for (let execution = 0; execution < 50; execution += 1) {
      const random = new DeterministicRandom(`order-${execution}`);
      for (let draw = 0; draw < 20; draw += 1) seen.add(random.next()).add(random.uuid());
    }
    expect(seen.size).toBe(2_000);
  });

  it("spreads numbers evenly over [0, 1)", () => {
    const random = new DeterministicRandom("even");
    const counts = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 5_000; draw += 1) {
      const number = random.next();
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThan(1);
      const tenth = Math.floor(number * 10);
      counts[tenth] = (counts[tenth] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(120);
  });

  it("makes UUIDs of version 8 (RFC 9562)", () => {
    const random = new DeterministicRandom("ids");
    for (let draw = 0; draw < 100; draw += 1) {
      expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  });

  it("is that of releases before: a running execution goes on with it", () => {
    const random = new DeterministicRandom("order-1");
    expect([random.next(), random.uuid()]).toEqual([
      0.3333335416987673,
      "fb418ef8-531f-8447-9f99-25bb01241d87",
    ]);
  });
});
