import { describe, expect, it } from "vitest";
import { Reachability } from "./reachability.ts";

const PATIENCE_MS = 5_000;

describe("reachability", () => {
  it("knows of no trouble while nothing was asked", () => {
    const backend = new Reachability(PATIENCE_MS);
    expect([backend.troubleMs(9_000), backend.answeringMs(9_000), backend.isTroubled(9_000)]).toEqual([
      0,
      0,
      false,
    ]);
    expect(backend.silentMs(9_000)).toBe(Number.POSITIVE_INFINITY);
  });

  it("counts trouble from when the first call that failed was sent, until one is answered", () => {
    const backend = new Reachability(PATIENCE_MS);
    const first = backend.begin(1_000);
    first(false, 1_500);
    backend.begin(2_000)(false, 2_100);
    expect([backend.troubleMs(3_000), backend.isTroubled(3_000)]).toEqual([2_000, true]);
    backend.begin(3_000)(true, 3_100);
    expect([backend.troubleMs(4_000), backend.isTroubled(4_000), backend.answeringMs(4_000)]).toEqual([
      0,
      false,
      900,
    ]);
    expect(backend.silentMs(4_000)).toBe(900);
  });

  it("counts a call without an answer like one that fails (C1)", () => {
    const backend = new Reachability(PATIENCE_MS);
    backend.begin(0)(true, 10);
    backend.begin(1_000);
    expect([backend.troubleMs(2_000), backend.isTroubled(2_000), backend.answeringMs(2_000)]).toEqual([
      1_000,
      false,
      1_990,
    ]);
    expect([backend.troubleMs(6_000), backend.isTroubled(6_000), backend.answeringMs(6_000)]).toEqual([
      5_000,
      true,
      0,
    ]);
  });

  it("has no trouble with a call that waits while others are answered (C2)", () => {
    const backend = new Reachability(PATIENCE_MS);
    backend.begin(0);
    for (let at = 1_000; at < 60_000; at += 1_000) {
      backend.begin(at)(true, at + 10);
      expect(backend.isTroubled(at + 10)).toBe(false);
    }
    expect(backend.answeringMs(60_000)).toBe(58_990);
  });

  it("takes an answer that comes late for none (C3)", () => {
    const backend = new Reachability(PATIENCE_MS);
    for (let at = 0; at < 30_000; at += 6_000) {
      const answer = backend.begin(at);
      answer(true, at + 5_900);
    }
    expect(backend.troubleMs(30_000)).toBe(30_000);
    expect(backend.answeringMs(30_000)).toBe(0);
  });

  it("does not count time in which the process stood still", () => {
    const backend = new Reachability(PATIENCE_MS);
    const answer = backend.begin(1_000);
    backend.stoodStill(61_000);
    expect(backend.troubleMs(61_500)).toBe(500);
    answer(true, 61_600);
    expect(backend.isTroubled(61_600)).toBe(false);
  });
});
