import { describe, expect, it } from "vitest";
import { encodePayload } from "../contract/payload.ts";
import type { InboxMessage } from "../adapter/workflow-storage.ts";
import { Arrivals } from "./arrivals.ts";

function message(requestId: string, tag: string, input: unknown): InboxMessage {
  return { requestId, tag, payload: encodePayload(input, "") };
}
const watcher = { entityType: "workflow:Parent", executionId: "p", shardGroup: "default" };

describe("what comes for an execution", () => {
  it("counts once, whichever way it comes (A1)", () => {
    const reasons: string[] = [];
    const inbox = [message("1", "signal", { name: "a", payload: 1 }), message("2", "cancel", "no")];
    const arrivals = new Arrivals(inbox, new Set(), (reason) => reasons.push(reason));
    for (const each of inbox) arrivals.add(each);
    arrivals.open();
    for (const each of inbox) arrivals.add(each);
    const taken: unknown[] = [];
    for (let n = 0; n < 3; n += 1) arrivals.signals.wait("a", ({ payload }) => taken.push(payload) > 0);
    expect([taken, reasons]).toEqual([[1], ["no"]]);
  });

  it("is not taken again where the journal has it (A1)", () => {
    const arrivals = new Arrivals([], new Set(["1"]), () => undefined);
    arrivals.add(message("1", "signal", { name: "a", payload: 1 }));
    arrivals.add(message("2", "signal", { name: "a", payload: 2 }));
    arrivals.open();
    const taken: unknown[] = [];
    for (let n = 0; n < 2; n += 1) arrivals.signals.wait("a", ({ payload }) => taken.push(payload) > 0);
    expect(taken).toEqual([2]);
  });

  it("waits for the end of the replay, but for who watches, which may be all that is left to come (A2)", () => {
    const reasons: string[] = [];
    const arrivals = new Arrivals([message("1", "watch", watcher)], new Set(), (reason) =>
      reasons.push(reason),
    );
    const taken: unknown[] = [];
    arrivals.signals.wait("a", ({ payload }) => taken.push(payload) > 0);
    arrivals.add(message("2", "signal", { name: "a", payload: 1 }));
    arrivals.add(message("3", "cancel", "no"));
    expect([arrivals.watchers, taken, reasons]).toEqual([[watcher], [], []]);
    arrivals.open();
    expect([taken, reasons]).toEqual([[1], ["no"]]);
  });
});
