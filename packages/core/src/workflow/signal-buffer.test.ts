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

  it("forgets who gave up", () => {
    const { taken, add, wait } = buffer();
    const end = wait("x");
    wait("y");
    end();
    end();
    add("1");
    expect(taken).toEqual(["y 1"]);
  });
});
