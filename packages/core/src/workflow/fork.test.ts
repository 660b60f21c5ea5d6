import { describe, expect, it } from "vitest";
import { encodePayload } from "../contract/payload.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import { forkEntries } from "./fork.ts";
import { continueEntry, recordedRun, seedOf } from "./recorded-run.ts";

function entry(ordinal: number, position: number, kind: StepKind, event: JournalEvent): JournalEntry {
  return { ordinal, position, kind, name: kind, event };
}
const completed = (value: unknown): JournalEvent => ({ type: "completed", value: encodePayload(value, "") });
const ERROR = { name: "E", message: "", code: null, stack: null, data: null, cause: null, own: false };
const origin = { executionId: "origin", requestId: "origin", number: 0 };

describe("a fork", () => {
  it("takes over what has ended before its step, in order, with its origin's chance", () => {
    const run = recordedRun({
      entries: [
        entry(0, -1, "version", completed("1")),
        entry(1, 0, "sleep", { type: "begun", dueAt: 5, detail: null }),
        entry(2, 1, "run", completed(1)),
        entry(3, 2, "sleep", { type: "begun", dueAt: 9, detail: null }),
        entry(4, 0, "sleep", { type: "completed", value: "null" }),
        entry(5, -1, "cancel", completed("enough")),
        entry(6, 3, "run", completed(3)),
      ],
      inbox: [],
    });
    const entries = forkEntries({ ...origin, fromStep: 3 }, run, "fork", run.version);
    expect(entries.map(({ ordinal, position, kind }) => [ordinal, position, kind])).toEqual([
      [0, -1, "fork"],
      [1, -1, "version"],
      [2, 0, "sleep"],
      [3, 1, "run"],
      [4, 0, "sleep"],
    ]);
    const forked = recordedRun({ entries, inbox: [] });
    expect([seedOf("fork", forked), seedOf("origin", run)]).toEqual(["origin", "origin"]);
    expect(seedOf("x", { number: 2, seed: null })).not.toBe(seedOf("x", { number: 1, seed: null }));
  });

  it("asks anew for what its origin had asked for beside a failure that it takes over", () => {
    const failed = (asked: number): JournalEvent => ({ type: "failed", error: ERROR, asked });
    const run = recordedRun({
      entries: [entry(0, 0, "run", completed(1)), entry(1, 1, "run", failed(5))],
      inbox: [],
    });
    const last = (fromStep: number): JournalEntry | undefined =>
      forkEntries({ ...origin, fromStep }, run, "fork", null).at(-1);
    expect(last(2)?.event).toEqual(failed(2));
    expect(last(7)?.event).toEqual(failed(5));
  });

  it("goes on with the version of its origin, also where that is in no entry of its own", () => {
    const start = {
      number: 1,
      input: "5",
      version: "2",
      state: null,
      consumed: [],
      isCancelled: false,
      children: [],
    };
    const run = recordedRun({
      entries: [continueEntry(2, 1, start), entry(3, 0, "run", completed(2))],
      inbox: [],
    });
    const entries = forkEntries({ ...origin, number: 1, fromStep: 1 }, run, "fork", run.version);
    expect(entries.map(({ ordinal, kind }) => [ordinal, kind])).toEqual([
      [0, "fork"],
      [1, "run"],
      [2, "version"],
    ]);
    expect(recordedRun({ entries, inbox: [] }).version).toBe("2");
  });
});
