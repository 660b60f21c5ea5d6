import { PersistenceError, type Fence } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { JournalQueue, type Append } from "./journal-queue.ts";

const FENCE: Fence = { shardId: "default:1", epoch: 1 };

/** What was sent, as the first arguments of the entries, and how each was answered. */
class Sends {
  readonly sent: string[][] = [];
  readonly #answers: { resolve: () => void; reject: (error: Error) => void }[] = [];

  readonly append: Append = (entries) => {
    this.sent.push(entries.map(([name = ""]) => name));
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  };

  async answer(error?: Error): Promise<void> {
    const next = this.#answers.shift();
    if (error === undefined) next?.resolve();
    else next?.reject(error);
    await new Promise(setImmediate);
  }
}

describe("the appends to one journal", () => {
  it("go one after the other; those that came meanwhile go together (J1)", async () => {
    const queue = new JournalQueue();
    const sends = new Sends();
    const all = ["a", "b", "c"].map((name) => queue.append("Order/1", [[name]], FENCE, sends.append));
    expect(sends.sent).toEqual([["a"]]);
    await sends.answer();
    expect(sends.sent).toEqual([["a"], ["b", "c"]]);
    await sends.answer();
    await Promise.all(all);
    const later = queue.append("Order/1", [["d"]], FENCE, sends.append);
    await sends.answer();
    await later;
    expect(sends.sent).toEqual([["a"], ["b", "c"], ["d"]]);
  });

  it("do not pass after one failed, if they were called before that was told (J2)", async () => {
    const queue = new JournalQueue();
    const sends = new Sends();
    const failure = new PersistenceError({ operation: "appendJournal", outcome: "unknown", detail: "lost" });
    const settled = Promise.allSettled(
      ["a", "b", "c"].map((name) => queue.append("Order/1", [[name]], FENCE, sends.append)),
    );
    await sends.answer(failure);
    const [first, ...rest] = await settled;
    expect(first).toMatchObject({ status: "rejected", reason: failure });
    for (const each of rest) expect(each).toMatchObject({ reason: { outcome: "not-written" } });
    expect(sends.sent).toEqual([["a"]]);
    const after = queue.append("Order/1", [["d"]], FENCE, sends.append);
    await sends.answer();
    await after;
    expect(sends.sent).toEqual([["a"], ["d"]]);
  });

  it("are not joined under another fence (J3)", async () => {
    const queue = new JournalQueue();
    const sends = new Sends();
    const next = { ...FENCE, epoch: 2 };
    const all = [
      queue.append("Order/1", [["a"]], FENCE, sends.append),
      queue.append("Order/1", [["b"]], FENCE, sends.append),
      queue.append("Order/1", [["c"]], next, sends.append),
      queue.append("Order/1", [["d"]], next, sends.append),
    ];
    for (let turn = 0; turn < 3; turn += 1) await sends.answer();
    await Promise.all(all);
    expect(sends.sent).toEqual([["a"], ["b"], ["c", "d"]]);
  });

  it("wait for none of another journal", async () => {
    const queue = new JournalQueue();
    const sends = new Sends();
    const all = ["Order/1", "Order/2"].map((name) => queue.append(name, [[name]], FENCE, sends.append));
    expect(sends.sent).toEqual([["Order/1"], ["Order/2"]]);
    for (const _ of all) await sends.answer();
    await Promise.all(all);
  });
});
