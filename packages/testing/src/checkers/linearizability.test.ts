import { describe, expect, it } from "vitest";
import { counterModel, type CounterOperation } from "./counter.ts";
import { checkLinearizable, isLinearizable } from "./linearizability.ts";
import { registerModel, type RegisterOperation } from "./register.ts";

const write = (value: number, invokedAt: number, completedAt: number): RegisterOperation => ({
  input: { kind: "write", value },
  output: null,
  invokedAt,
  completedAt,
});
const read = (output: number | null, invokedAt: number, completedAt: number): RegisterOperation => ({
  input: { kind: "read" },
  output,
  invokedAt,
  completedAt,
});

describe("a register's history", () => {
  it.each<[string, boolean, readonly RegisterOperation[]]>([
    ["nothing", true, []],
    ["a read of nothing before a write", true, [read(null, 0, 1), write(1, 2, 3)]],
    ["a read of nothing after a write", false, [write(1, 0, 1), read(null, 2, 3)]],
    ["a read of either while both are written", true, [write(1, 0, 10), write(2, 0, 10), read(1, 11, 12)]],
    [
      "two reads that see two orders",
      false,
      [write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(2, 13, 14)],
    ],
    ["a value that comes back", false, [write(1, 0, 1), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)]],
    ["an unknown write that is seen late", true, [write(1, 0, Infinity), read(null, 1, 2), read(1, 8, 9)]],
    ["an unknown write that is never seen", true, [write(1, 0, Infinity), write(2, 1, 2), read(2, 8, 9)]],
    [
      "an unknown write that is seen twice",
      false,
      [write(1, 0, Infinity), read(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 8, 9)],
    ],
    ["a value that nobody wrote", false, [write(1, 0, 1), read(7, 2, 3)]],
    ["a read before what it sees", false, [read(1, 0, 1), write(1, 2, 3)]],
  ])("of %s: %s", (_, expected, operations) => {
    expect(isLinearizable(registerModel, operations)).toBe(expected);
  });
});

const add = (output: number, invokedAt: number, completedAt: number): CounterOperation => ({
  input: { kind: "add", amount: 1 },
  output,
  invokedAt,
  completedAt,
});
const get = (output: number, invokedAt: number, completedAt: number): CounterOperation => ({
  input: { kind: "get" },
  output,
  invokedAt,
  completedAt,
});

describe("a counter's history", () => {
  it.each<[string, boolean, readonly CounterOperation[]]>([
    ["additions at a time, in either order", true, [add(2, 0, 10), add(1, 0, 10), get(2, 11, 12)]],
    ["an addition that is lost", false, [add(1, 0, 10), add(1, 0, 10)]],
    ["an addition that counted twice", false, [add(1, 0, 1), get(2, 2, 3)]],
    ["an unknown addition that counted", true, [add(0, 0, Infinity), add(1, 1, 2), get(2, 3, 4)]],
    ["an unknown addition that counted twice", false, [add(0, 0, Infinity), get(1, 1, 2), get(2, 3, 4)]],
    ["a value that goes back", false, [add(1, 0, 1), add(2, 2, 3), get(1, 4, 5)]],
  ])("of %s: %s", (_, expected, operations) => {
    expect(isLinearizable(counterModel, operations)).toBe(expected);
  });

  it("of 400 additions, 8 at a time, is decided soon", () => {
    const operations = Array.from({ length: 400 }, (_, n) => add(n + 1, n - (n % 8), n - (n % 8) + 8.5));
    expect(isLinearizable(counterModel, operations.toReversed())).toBe(true);
    expect(isLinearizable(counterModel, [...operations, get(399, 500, 501)])).toBe(false);
  });

  it("that no order explains is told with what was answered when", () => {
    expect(() =>
      checkLinearizable("c1", counterModel, [add(1, 0, 1), get(3, 2, Infinity), get(0, 4, 5)]),
    ).toThrow(
      expect.objectContaining({
        name: "Violation",
        invariant: "linearizable",
        message: [
          "linearizable: no order explains what c1 answered:",
          '  0 to 1: {"kind":"add","amount":1} gave 1',
          '  2 to Infinity: {"kind":"get"} gave unknown',
          '  4 to 5: {"kind":"get"} gave 0',
        ].join("\n"),
      }),
    );
  });
});
