import { describe, expect, it } from "vitest";
import { checkTimers, type TimerHistory } from "./timers.ts";

const set = [
  { key: "a", dueAt: 100 },
  { key: "b", dueAt: 200 },
];

describe("timers", () => {
  it.each<[string, TimerHistory]>([
    [
      "all fired, on time or late",
      {
        set,
        fired: [
          { key: "a", at: 100 },
          { key: "b", at: 900 },
        ],
        now: 1_000,
      },
    ],
    ["one is not due", { set, fired: [{ key: "a", at: 100 }], now: 150 }],
    ["one may still come", { set, fired: [{ key: "a", at: 100 }], now: 250, graceMs: 50 }],
    ["clocks differ by as much", { set, fired: [{ key: "a", at: 90 }], now: 150, toleranceMs: 10 }],
    [
      "one fired again",
      {
        set,
        fired: [
          { key: "a", at: 100 },
          { key: "a", at: 120 },
        ],
        now: 150,
      },
    ],
  ])("are as they should be where %s", (_, history) => {
    checkTimers(history);
  });

  it.each<[string, TimerHistory, string]>([
    ["one fired early", { set, fired: [{ key: "a", at: 99 }], now: 150 }, "no early timer"],
    [
      "one fired early once",
      {
        set,
        fired: [
          { key: "a", at: 99 },
          { key: "a", at: 120 },
        ],
        now: 150,
      },
      "no early timer",
    ],
    ["one fired that nobody set", { set, fired: [{ key: "x", at: 99 }], now: 50 }, "no early timer"],
    ["one did not fire", { set, fired: [{ key: "a", at: 100 }], now: 201 }, "no lost timer"],
  ])("are not where %s", (_, history, invariant) => {
    expect(() => checkTimers(history)).toThrow(expect.objectContaining({ name: "Violation", invariant }));
  });
});
