import { describe, expect, it } from "vitest";
import { encodePayload } from "../contract/payload.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import { continueEntry, recordedRun, unconsumed } from "./recorded-run.ts";
import { encodeSignal } from "./taken-signal.ts";

function entry(ordinal: number, position: number, kind: StepKind, event: JournalEvent): JournalEntry {
  return { ordinal, position, kind, name: kind, event };
}
const completed = (value: unknown): JournalEvent => ({ type: "completed", value: encodePayload(value, "") });
const ERROR = { name: "E", message: "", code: null, stack: null, data: null, cause: null, own: false };
const signal = (requestId: string) => ({ requestId, tag: "signal", payload: "{}" });
const start = {
  number: 1,
  input: "5",
  version: "2",
  state: '"before"',
  consumed: ["s1", "gone"],
  isCancelled: false,
  children: [],
};

describe("a recorded run", () => {
  it("of a new execution has nothing", () => {
    expect(recordedRun({ entries: [], inbox: [] })).toMatchObject({
      number: 0,
      input: null,
      version: null,
      entries: [],
      nextOrdinal: 0,
      cancellation: null,
      state: null,
    });
  });

  it("knows its version, its state, its cancellation, and the signals that it was given", () => {
    const run = recordedRun({
      entries: [
        entry(0, -1, "version", completed("1")),
        entry(1, 0, "state", completed("a")),
        entry(2, 1, "signal", { type: "completed", value: encodeSignal("s1", "1") }),
        entry(3, 2, "signal", { type: "begun", dueAt: 5, detail: null }),
        entry(4, 2, "signal", { type: "failed", error: ERROR, asked: 3, signal: "s2" }),
        entry(5, 3, "state", completed("b")),
        entry(7, -1, "cancel", completed("enough")),
        entry(8, -1, "cancel", completed("again")),
      ],
      inbox: ["s1", "s2", "s3"].map(signal),
    });
    expect(run).toMatchObject({ version: "1", state: '"b"', nextOrdinal: 9 });
    expect(run.cancellation).toEqual({ ordinal: 7, reason: "enough" });
    expect([...run.consumed]).toEqual(["s1", "s2"]);
    const inbox = [signal("s1"), { ...signal("c"), tag: "cancel" }, signal("s3")];
    expect(unconsumed({ entries: [], inbox }, run).map(({ requestId }) => requestId)).toEqual(["c", "s3"]);
  });

  it("leaves out what a resumption forgot, and what was written late all the same", () => {
    const failed: JournalEvent = { type: "failed", error: ERROR, asked: 3 };
    const resumed = (ordinal: number, value: unknown) => entry(ordinal, -1, "resume", completed(value));
    const before = [
      entry(0, -1, "version", completed("2")),
      entry(1, 0, "run", completed(1)),
      entry(2, 1, "run", failed),
      entry(3, 2, "run", completed(2)),
      entry(4, 3, "run", completed(3)),
    ];
    const again = entry(6, 1, "run", completed(4));
    const ordinals = (entries: readonly JournalEntry[]) =>
      recordedRun({ entries, inbox: [] }).entries.map(({ ordinal }) => ordinal);
    const once = [...before, resumed(5, { usedUp: [], from: 3, anew: [1] }), again];
    expect(ordinals(once)).toEqual([0, 1, 3, 5, 6]);
    expect(ordinals([...once, resumed(7, { usedUp: [], from: 2, anew: [0] })])).toEqual([0, 5, 6, 7]);
    // One without a step to do anew, and one of a release that did not say which.
    expect(ordinals([...before, resumed(5, { usedUp: [], from: null, anew: [] })])).toHaveLength(6);
    expect(ordinals([...before, resumed(5, { usedUp: [], from: 3 })])).toEqual([0, 1, 2, 3, 5]);
  });

  it("begins where the one before continued as new, whether or not that is still there", () => {
    const before = [entry(0, 0, "run", completed(1)), entry(1, -1, "cancel", completed("old"))];
    const after = [continueEntry(2, 1, start), entry(3, 0, "run", completed(2))];
    for (const entries of [[...before, ...after], after]) {
      const run = recordedRun({ entries, inbox: [signal("s1"), signal("s2")] });
      expect(run).toMatchObject({
        number: 1,
        input: "5",
        version: "2",
        state: '"before"',
        firstOrdinal: 2,
        nextOrdinal: 4,
        cancellation: null,
        entries: [{ ordinal: 3 }],
      });
      expect([...run.consumed], "those that are gone are forgotten").toEqual(["s1"]);
    }
  });
});
