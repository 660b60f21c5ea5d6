import type { Envelope, Fence, JournalEntry } from "@holdfast/core/adapter";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { textArray } from "./sql-array.ts";
import { eventColumns, eventOf, writeGroupResults, writeGroupStatement } from "./write-group.ts";
import type { WriteOp } from "./write-op.ts";

const first: Fence = { shardId: "default:1", epoch: 3 };
const second: Fence = { shardId: "default:2", epoch: 1 };

describe("a group of writes", () => {
  const group: WriteOp[] = [
    { type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "1" } }, fence: first },
    {
      type: "journal",
      execution: { entityType: "Order", executionId: "1" },
      key: "00",
      entries: [],
      fence: second,
    },
    {
      type: "request",
      envelope: {
        requestId: "q1",
        address: { shardId: "default:9" },
        deliverAt: null,
      } as unknown as Envelope,
      attempts: 0,
      fence: null,
    },
    {
      type: "reply",
      reply: { requestId: "r2", exit: { ok: true, value: "2" } },
      fence: { ...first, epoch: 2 },
    },
  ];

  it("names each fence once, also that of an append of nothing", () => {
    const { values, text } = writeGroupStatement("holdfast", group, { now: 5.5, gate: "7" });
    expect(values.slice(0, 4)).toEqual(["7", 5, '{"default:1","default:1","default:2"}', "{2,3,1}"]);
    expect(text).toContain(`$${values.length})`);
  });

  it("gives a column once that is the same in all rows, and leaves out one that is null", () => {
    const entry = {
      ordinal: 4,
      position: 2,
      kind: "activity",
      name: "a",
      event: { type: "completed", value: "7" },
    };
    const journal = (key: string, name: string): WriteOp => ({
      type: "journal",
      execution: { entityType: "Order", executionId: key },
      key,
      entries: [{ ...entry, name } as JournalEntry],
      fence: first,
    });
    const { values } = writeGroupStatement("holdfast", [journal("00", "a"), journal("01", "b")], {
      now: 5,
      gate: "7",
    });
    // The columns of entries, behind those of requests and updates.
    const at = 4 + 16 + 5;
    expect(values.slice(at, at + 9)).toEqual([
      "{1}",
      '{"00","01"}',
      "{4}",
      "{2}",
      '{"activity"}',
      '{"a","b"}',
      '{"completed"}',
      '{"7"}',
      "{}",
    ]);
  });

  it("gives each write its own result", () => {
    const answer = { f: [3, 3, 2], q: { q1: 77 }, c: null, r: ["r1"] };
    expect(writeGroupResults(group, JSON.stringify(answer))).toEqual([
      { type: "done" },
      { type: "fenced", current: 2 },
      { type: "accepted", sequence: 77, isAnswered: false },
      { type: "fenced", current: 3 },
    ]);
  });

  it("gives each of a group that passed whole what it wrote", () => {
    expect(writeGroupResults(group, JSON.stringify({ s: [77] }))).toEqual([
      { type: "done" },
      { type: "done" },
      { type: "accepted", sequence: 77, isAnswered: false },
      { type: "done" },
    ]);
  });

  it("says that a shard was never claimed", () => {
    const answer = { f: [null, null, 1], q: null, c: null, r: null };
    expect(writeGroupResults(group, JSON.stringify(answer)).map(({ type }) => type)).toEqual([
      "fenced",
      "done",
      "refused",
      "fenced",
    ]);
  });
});

describe("the event of a journal entry", () => {
  it.each([
    { type: "completed", value: '{"a":1}' },
    { type: "begun", dueAt: null, detail: "x" },
    {
      type: "attempt-failed",
      attempt: 1,
      error: { name: "E", message: "m", code: null, stack: null, data: null, cause: null, own: false },
      retryAt: 3,
    },
  ] as const)("comes back as it was: %o", (event) => {
    expect(eventOf(...eventColumns(event))).toEqual(event);
  });
});

describe("an array of texts", () => {
  it("can be read back, whatever the texts are (property)", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.string({ unit: "binary" }),
            fc.constantFrom('"', "\\", "{}", ",", "NULL", "", "\n", "\\n", "\u2028", "\ud800"),
            fc.constant(null),
          ),
        ),
        (values) => {
          expect(read(textArray(values))).toEqual(values);
        },
      ),
    );
  });
});

/** Reads the literal of an array of one dimension as PostgreSQL does. */
function read(literal: string): (string | null)[] {
  const elements = literal.slice(1, -1).match(/"(?:[^"\\]|\\[^])*"|NULL/gi) ?? [];
  return elements.map((element) =>
    element.toUpperCase() === "NULL" ? null : element.slice(1, -1).replaceAll(/\\([^])/g, "$1"),
  );
}
