import { describe, expect, it } from "vitest";
import type { WireMessage } from "../data/wire-message.ts";
import { ReplyWaiters, type Answer } from "./reply-waiters.ts";

const MESSAGE: WireMessage = { type: "accepted", requestId: "r1" };
const REPLY: WireMessage = { type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "1" } } };

function waitersOf(): { waiters: ReplyWaiters; told: string[]; answer: (name: string) => Answer } {
  const told: string[] = [];
  return {
    waiters: new ReplyWaiters(),
    told,
    answer: (name) => (message) => told.push(`${name} ${message.type}`),
  };
}

describe("those who wait for a reply", () => {
  it("are all told, and go on waiting until it is there", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("a"));
    waiters.add("r1", { peer: "b", requestId: "r2" }, answer("b"));
    waiters.tell("r1", MESSAGE);
    waiters.settle("r1", REPLY);
    waiters.settle("r1", REPLY);
    waiters.tell("r1", MESSAGE);
    expect(told).toEqual(["a accepted", "b accepted", "a reply", "b reply"]);
    expect(waiters.has("r1")).toBe(false);
  });

  it("are answered each for their own request", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("first"));
    waiters.add("r2", { peer: "a", requestId: "r2" }, answer("second"));
    waiters.settle("r2", REPLY);
    expect(told).toEqual(["second reply"]);
    expect(waiters.has("r1")).toBe(true);
  });

  it("wait once by the newer way when they ask again", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("old"));
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("new"));
    waiters.settle("r1", REPLY);
    expect(told).toEqual(["new reply"]);
  });

  it("wait twice when one peer asks under two ids", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("one"));
    waiters.add("r1", { peer: "a", requestId: "r2" }, answer("two"));
    waiters.remove("r1", { peer: "a", requestId: "r1" });
    waiters.settle("r1", REPLY);
    expect(told).toEqual(["two reply"]);
  });

  it("may leave, and then there is nobody", () => {
    const { waiters, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("a"));
    waiters.remove("r1", { peer: "b", requestId: "r1" });
    expect(waiters.has("r1")).toBe(true);
    waiters.remove("r1", { peer: "a", requestId: "r1" });
    expect(waiters.has("r1")).toBe(false);
    waiters.remove("r9", { peer: "a", requestId: "r9" });
  });

  it("are forgotten with their peer, which leaves those requests that nobody else waits for", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { peer: "a", requestId: "r1" }, answer("a"));
    waiters.add("r2", { peer: "a", requestId: "r2" }, answer("a"));
    waiters.add("r2", { peer: "b", requestId: "r3" }, answer("b"));
    waiters.add("r4", { peer: "b", requestId: "r4" }, answer("b"));
    expect(waiters.forgetPeer("a")).toEqual(["r1"]);
    expect(waiters.forgetPeer("a")).toEqual([]);
    waiters.settle("r2", REPLY);
    expect(told).toEqual(["b reply"]);
    expect(waiters.has("r4")).toBe(true);
  });
});
