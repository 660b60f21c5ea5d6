import { describe, expect, it } from "vitest";
import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import { resumption } from "./resumption.ts";

function error(message: string, cause: EncodedError | null = null): EncodedError {
  return { name: "Error", message, code: null, stack: null, data: null, cause, own: false };
}
function entry(
  ordinal: number,
  position: number,
  event: JournalEvent,
  kind: StepKind = "activity",
): JournalEntry {
  return { ordinal, position, kind, name: `step ${position}`, event };
}
const done: JournalEvent = { type: "completed", value: "1" };
const failed = (message: string, asked: number): JournalEvent & { type: "failed" } => ({
  type: "failed",
  error: error(message),
  asked,
});
const ended = (message: string): EncodedError => error("The execution failed", error(message));
const forgets = (entries: readonly JournalEntry[], message: string): readonly number[] | null =>
  resumption({ entries, inbox: [] }, ended(message))?.forget ?? null;

describe("resumption", () => {
  it("forgets the step whose error the execution ended with, its attempts, and what followed", () => {
    const attempt: JournalEvent = { type: "attempt-failed", attempt: 1, error: error("x"), retryAt: 0 };
    const entries = [entry(0, 0, done), entry(1, 1, attempt), entry(2, 1, failed("x", 2)), entry(3, 2, done)];
    expect(forgets(entries, "x")).toEqual([1, 2, 3]);
  });

  it("keeps what was under way beside it, and forgets what failed there after it", () => {
    const entries = [
      entry(0, 1, done),
      entry(1, 0, failed("x", 4)),
      entry(2, 2, done),
      entry(3, 3, failed("y", 4)),
      entry(4, 4, done),
    ];
    expect(forgets(entries, "x")).toEqual([1, 3, 4]);
  });

  it("leaves failures that the code got over", () => {
    const entries = [entry(0, 0, failed("caught", 1)), entry(1, 1, done), entry(2, 2, failed("x", 3))];
    expect(forgets(entries, "x")).toEqual([2]);
    expect(forgets([...entries.slice(0, 2), entry(2, 2, done)], "the code's own")).toEqual([]);
  });

  it("forgets the failures that the code made an error of its own of, whatever it noted in between", () => {
    const note: JournalEvent = { type: "completed", value: "1" };
    const entries = [
      entry(0, 0, failed("caught", 1)),
      entry(1, 1, done),
      entry(2, 2, failed("y", 5)),
      entry(3, 4, done),
      entry(4, 3, failed("z", 5)),
      entry(5, 5, note, "value"),
    ];
    expect(resumption({ entries, inbox: [] }, ended("the code's own"))).toEqual({
      forget: [2, 4, 5],
      usedUp: [],
      from: 5,
      anew: [2, 3],
    });
  });

  it("leaves in its place that an activity had begun, and that alone: a transaction may come late", () => {
    const begun: JournalEvent = { type: "begun", dueAt: null, detail: null };
    const entries = [
      entry(0, 0, begun),
      entry(1, 0, failed("x", 1)),
      entry(2, 1, begun, "run"),
      entry(3, 2, begun, "sleep"),
    ];
    expect(forgets(entries, "x")).toEqual([1, 3]);
  });

  it("finds the step's error where the code wrapped it", () => {
    const wrapped = error("The execution failed", error("wrapped", error("x")));
    expect(resumption({ entries: [entry(0, 0, failed("x", 1))], inbox: [] }, wrapped)).toEqual({
      forget: [0],
      usedUp: [],
      from: 1,
      anew: [0],
    });
  });

  it("leaves the key of a call as it is, unless that has the error for an answer", () => {
    const answer: JournalEvent = { ...failed("y", 2), answered: "1" };
    const entries = [entry(0, 0, failed("x", 2), "rpc"), entry(1, 1, answer, "rpc")];
    expect(resumption({ entries, inbox: [] }, ended("x"))).toEqual({
      forget: [0, 1],
      usedUp: ["1"],
      from: 2,
      anew: [0, 1],
    });
  });

  it("is refused once compensations have run", () => {
    const entries = [
      entry(0, 0, failed("x", 1)),
      entry(1, 1, { type: "completed", value: "null" }, "compensate"),
    ];
    expect(forgets(entries, "x")).toBeNull();
  });
});
