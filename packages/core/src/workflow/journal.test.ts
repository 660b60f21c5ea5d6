import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry, JournalEvent } from "../data/journal-entry.ts";
import { PersistenceError } from "../errors/storage.ts";
import { Journal, stepsOf } from "./journal.ts";

const FENCE = { shardId: "default:1", epoch: 3 } as const;
const EXECUTION = { entityType: "workflow:Order", executionId: "1" };
const ERROR: EncodedError = {
  name: "Error",
  message: "no",
  code: null,
  stack: null,
  data: null,
  cause: null,
  own: false,
};

function entry(
  ordinal: number,
  position: number,
  event: JournalEvent = { type: "completed", value: `${ordinal}` },
): JournalEntry {
  return { ordinal, position, kind: "run", name: `step ${position}`, event };
}

/** A storage whose writes end when the test says so. */
function journalOf(entries: readonly JournalEntry[] = []): {
  journal: Journal;
  writes: { entries: readonly number[]; transaction: StorageTransaction | null }[];
  /** Ends the last write. */
  end: (error?: Error) => Promise<void>;
  /** Ends the write of this index. */
  ends: (index: number, error?: Error) => Promise<void>;
  failures: unknown[];
  unsettled: JournalEntry[];
  written: () => number;
} {
  const writes: { entries: readonly number[]; transaction: StorageTransaction | null }[] = [];
  const failures: unknown[] = [];
  const unsettled: JournalEntry[] = [];
  const finish: ((error?: Error) => void)[] = [];
  let written = 0;
  const storage: Pick<WorkflowStorage, "appendJournal"> = {
    appendJournal: (execution, appended, fence, transaction) => {
      expect([execution, fence]).toEqual([EXECUTION, FENCE]);
      writes.push({ entries: appended.map(({ ordinal }) => ordinal), transaction });
      return new Promise((resolve, reject) => {
        finish.push((error) => (error === undefined ? resolve() : reject(error)));
      });
    },
  };
  const journal = new Journal({
    storage,
    execution: EXECUTION,
    fence: FENCE,
    entries,
    nextOrdinal: (entries.at(-1)?.ordinal ?? -1) + 1,
    written: () => (written += 1),
    failed: (error) => failures.push(error),
    unsettled: (some) => unsettled.push(...some),
  });
  const ends = async (index: number, error?: Error): Promise<void> => {
    finish.at(index)?.(error);
    await new SystemClock().nextTurn();
  };
  const end = (error?: Error): Promise<void> => ends(-1, error);
  return { journal, writes, end, ends, failures, unsettled, written: () => written };
}

describe("a journal", () => {
  it("writes what is very much in parts, in order, and loses none where one of them fails", async () => {
    const { journal, writes, end, failures } = journalOf();
    const large = { type: "completed", value: "x".repeat(3_000_000) } as const;
    const huge = { type: "completed", value: "x".repeat(9_000_000) } as const;
    const failed = { type: "failed", error: { ...ERROR, message: "x".repeat(3_000_000) } } as const;
    const events = [undefined, large, failed, large, large, huge, large, large, large];
    for (const [ordinal, event] of events.entries()) journal.append(entry(ordinal, ordinal, event));
    let isDurable = false;
    void journal.durable().then(() => (isDurable = true));
    for (let count = 0; count < 4; count += 1) await end();
    const sent = (): (readonly number[])[] => writes.map(({ entries }) => entries);
    expect(sent()).toEqual([[0], [1, 2], [3, 4], [5], [6, 7]]);
    expect(isDurable).toBe(false);
    const lost = new PersistenceError({ operation: "appendJournal", outcome: "not-written", detail: "x" });
    await end(lost);
    expect(failures).toEqual([lost]);
    expect(sent()).toHaveLength(5);
    expect(journal.unwritten.map(({ ordinal }) => ordinal)).toEqual([6, 7, 8]);
  });

  it("knows of each step what is recorded of it", () => {
    const { journal } = journalOf([
      entry(0, 0, { type: "begun", dueAt: 500, detail: null }),
      entry(1, 1, { type: "attempt-failed", attempt: 1, error: ERROR, retryAt: 10 }),
      entry(3, 1, { type: "attempt-failed", attempt: 2, error: ERROR, retryAt: 30 }),
      entry(4, 2, { type: "completed", value: "1" }),
      entry(7, 0, { type: "completed", value: "null" }),
      entry(8, 1, { type: "failed", error: ERROR }),
    ]);
    expect(journal.step(0)).toMatchObject({
      kind: "run",
      name: "step 0",
      dueAt: 500,
      failures: [],
      outcome: { ordinal: 7 },
    });
    expect(journal.step(1)).toMatchObject({
      failures: [
        { attempt: 1, retryAt: 10 },
        { attempt: 2, retryAt: 30 },
      ],
      outcome: { ordinal: 8, event: { type: "failed" } },
    });
    expect(journal.step(2)?.outcome).toEqual({ ordinal: 4, event: { type: "completed", value: "1" } });
    expect(journal.step(3)).toBeUndefined();
    expect([...journal.steps]).toHaveLength(3);
  });

  it("takes the first outcome of a step for the one that counts", () => {
    const { journal } = journalOf([entry(0, 0), entry(1, 0, { type: "failed", error: ERROR })]);
    expect(journal.step(0)?.outcome).toMatchObject({ ordinal: 0, event: { type: "completed" } });
  });

  it("gives ordinals that rise past all that are recorded, each once (J1)", () => {
    const { journal } = journalOf([entry(0, 0), entry(9, 1)]);
    expect([journal.takeOrdinal(), journal.takeOrdinal(), journal.takeOrdinal()]).toEqual([10, 11, 12]);
    expect(journalOf().journal.takeOrdinal()).toBe(0);
  });

  it("begins to write in the turn of the first append, and writes the rest together after (J4)", async () => {
    const { journal, writes, end, written } = journalOf();
    for (const ordinal of [0, 1, 2]) journal.append(entry(ordinal, ordinal));
    expect(writes.map(({ entries }) => entries)).toEqual([[0]]);
    expect(journal.writing).not.toBeNull();
    await end();
    expect(writes.map(({ entries }) => entries)).toEqual([[0], [1, 2]]);
    expect(written()).toBe(0);
    await end();
    expect(journal.writing).toBeNull();
    expect(written()).toBe(1);
    journal.append(entry(3, 3));
    expect(writes.map(({ entries }) => entries)).toEqual([[0], [1, 2], [3]]);
  });

  it("is durable when everything appended before is (J2)", async () => {
    const { journal, end } = journalOf();
    let isDurable = false;
    await journal.durable();
    journal.append(entry(0, 0));
    journal.append(entry(1, 1));
    void journal.durable().then(() => (isDurable = true));
    await end();
    expect(isDurable).toBe(false);
    await end();
    expect(isDurable).toBe(true);
  });

  it("writes nothing after a write that failed, and says so once (J3, J4)", async () => {
    const { journal, writes, end, failures } = journalOf();
    for (const ordinal of [0, 1, 2]) journal.append(entry(ordinal, ordinal));
    const durable = journal.durable();
    await end(new Error("no"));
    expect(failures).toEqual([new Error("no")]);
    await durable;
    expect(writes).toHaveLength(1);
    expect(journal.writing).toBeNull();
  });

  it("never writes what waited behind a write that failed (J4)", async () => {
    const { journal, writes, end } = journalOf();
    for (const ordinal of [0, 1]) journal.append(entry(ordinal, ordinal));
    await end(new Error("no"));
    journal.append(entry(2, 2));
    expect(writes.map(({ entries }) => entries)).toEqual([[0], [2]]);
  });

  it("is settled when nothing is under way any more, whatever came of it (J5)", async () => {
    const { journal, ends } = journalOf();
    const transaction: StorageTransaction = { kind: "test", rollback: async () => undefined };
    expect(journal.isSettled).toBe(true);
    await journal.settled();
    journal.append(entry(0, 0));
    const committed = journal.commit(entry(1, 1), transaction);
    const refused = expect(committed).rejects.toThrow("the transaction");
    let isSettled = false;
    void journal.settled().then(() => (isSettled = true));
    await ends(0, new Error("the entry"));
    expect([journal.isSettled, isSettled]).toEqual([false, false]);
    await ends(1, new Error("the transaction"));
    await refused;
    expect([journal.isSettled, isSettled]).toEqual([true, true]);
  });

  it("says what settles a write that may still happen: the same, or of a transaction that its step had begun (J6)", async () => {
    const { journal, ends, unsettled } = journalOf();
    const transaction: StorageTransaction = { kind: "test", rollback: async () => undefined };
    const of = (outcome: "unknown" | "not-written"): PersistenceError =>
      new PersistenceError({ operation: "appendJournal", outcome, detail: "told to" });
    const committed = [1, 2].map((at) => journal.commit(entry(at, at), transaction));
    const refused = Promise.all(committed.map((each) => expect(each).rejects.toThrow("told to")));
    journal.append(entry(3, 3));
    await ends(0, of("unknown"));
    await ends(1, of("not-written"));
    await ends(2, of("unknown"));
    await refused;
    expect(unsettled).toEqual([entry(1, 1, { type: "begun", dueAt: null, detail: null }), entry(3, 3)]);
  });

  it("commits a transaction with its entry without waiting for other entries", async () => {
    const { journal, writes, end } = journalOf();
    const transaction: StorageTransaction = { kind: "test", rollback: async () => undefined };
    journal.append(entry(0, 0));
    const committed = journal.commit(entry(1, 1), transaction);
    expect(writes).toEqual([
      { entries: [0], transaction: null },
      { entries: [1], transaction },
    ]);
    const refused = expect(committed).rejects.toThrow("no");
    await end(new Error("no"));
    await refused;
  });

  it("of a step that failed 200,000 times, as one that polls, is read in less than the minutes that copies take", () => {
    const entries = Array.from({ length: 200_000 }, (_, ordinal): JournalEntry => {
      const attempt = { attempt: ordinal + 1, error: ERROR, retryAt: ordinal };
      return entry(ordinal, 7, { type: "attempt-failed", ...attempt });
    });
    const failures = stepsOf(entries).get(7)?.failures;
    expect([failures?.length, failures?.at(-1)?.attempt]).toEqual([200_000, 200_000]);
  });
});
