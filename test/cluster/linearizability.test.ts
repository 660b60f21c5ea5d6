import { describe, expect, it } from "vitest";
import { isLinearizable, type RegisterOperation } from "./linearizability.ts";

const write = (value: number, invokedAt: number, completedAt: number): RegisterOperation => ({
  kind: "write",
  value,
  invokedAt,
  completedAt,
});
const read = (value: number | null, invokedAt: number, completedAt: number): RegisterOperation => ({
  kind: "read",
  value,
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
    expect(isLinearizable(operations)).toBe(expected);
  });
});
