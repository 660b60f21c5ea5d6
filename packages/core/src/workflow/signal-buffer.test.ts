import { describe, expect, it } from "vitest";
import { SignalBuffer } from "./signal-buffer.ts";

function buffer(): {
  signals: SignalBuffer;
  taken: string[];
  add(id: string, name?: string): void;
  wait(who: string, name?: string, takes?: boolean): () => void;
} {
  const signals = new SignalBuffer();
  const taken: string[] = [];
  return {
    signals,
    taken,
    add: (requestId, name = "a") => signals.add({ requestId, name, payload: null }),
    wait: (who, name = "a", takes = true) =>
      signals.wait(name, ({ requestId }) => {
        if (takes) taken.push(`${who} ${requestId}`);
        return takes;
      }),
  };
}

describe("the buffer of signals", () => {
  it("keeps what nobody waits for, and gives it in order, by name (S1)", () => {
    const { taken, add, wait } = buffer();
    add("1");
    add("2");
    add("3", "b");
    wait("x");
    wait("y", "b");
    wait("z");
    expect(taken).toEqual(["x 1", "y 3", "z 2"]);
  });

  it("gives what comes to who waits longest (S1)", () => {
    const { taken, add, wait } = buffer();
    wait("x");
    wait("y");
    wait("z", "b");
    add("1");
    add("2");
    expect(taken).toEqual(["x 1", "y 2"]);
  });

  it("keeps what a step does not take, for the next one (S2)", () => {
    const { signals, taken, add, wait } = buffer();
    wait("over", "a", false);
    add("1");
    add("2");
    expect(taken).toEqual([]);
    const end = wait("x");
    expect(taken).toEqual(["x 1"]);
    end();
    wait("y");
    const [one, two] = ["3", "4"].map((requestId) => ({ requestId, name: "a", payload: null }));
    if (one === undefined || two === undefined) throw new Error("There are two");
    signals.add(one);
    signals.add(two);
    signals.wait("a", () => true);
    signals.wait("a", () => true);
    signals.giveBack(two);
    signals.giveBack(one);
    wait("y");
    wait("z");
    expect(taken).toEqual(["x 1", "y 2", "y 3", "z 4"]);
  });

  it("gives a signal that was given back its place again, before those that were not taken yet (S1)", () => {
    const { signals, taken, add, wait } = buffer();
    const first = { requestId: "1", name: "a", payload: null };
    signals.add(first);
    for (const id of ["2", "3", "4", "5"]) add(id);
    signals.wait("a", () => true);
    signals.giveBack(first);
    for (let count = 0; count < 5; count += 1) wait("x");
    expect(taken).toEqual(["x 1", "x 2", "x 3", "x 4", "x 5"]);
  });

  it("forgets who gave up", () => {
    const { taken, add, wait } = buffer();
    const end = wait("x");
    wait("y");
    end();
    end();
    add("1");
    expect(taken).toEqual(["y 1"]);
  });

  it("gives out a hundred thousand for little more each than a few", () => {
    const timeOf = (buffers: number, signals: number): number => {
      const begun = process.threadCpuUsage();
      for (let each = 0; each < buffers; each += 1) {
        const { taken, add, wait } = buffer();
        const ids = Array.from({ length: signals }, (_, index) => String(index));
        for (const id of ids) add(id);
        for (let count = 0; count < signals; count += 1) wait("x");
        expect(taken).toEqual(ids.map((id) => `x ${id}`));
      }
      return process.threadCpuUsage(begun).user;
    };
    timeOf(1, 1_000);
    expect(timeOf(1, 100_000)).toBeLessThan(20 * timeOf(100, 1_000));
  });
});
