import { describe, expect, it } from "vitest";
import type { WireMessage } from "../data/wire-message.ts";
import type { ShardId } from "../data/shard-id.ts";
import { ReplyWaiters, type Answer, type Asking } from "./reply-waiters.ts";

const MESSAGE: WireMessage = { type: "accepted", requestId: "r1" };
const REPLY: WireMessage = { type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "1" } } };

function asking(peer: string, requestId: string, shardId: ShardId = "default:1"): Asking {
  return { peer, requestId, shardId };
}

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
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    waiters.add("r1", { ...asking("b", "r2"), answer: answer("b") });
    waiters.tell("r1", MESSAGE);
    waiters.settle("r1", REPLY);
    waiters.settle("r1", REPLY);
    waiters.tell("r1", MESSAGE);
    expect(told).toEqual(["a accepted", "b accepted", "a reply", "b reply"]);
    expect(waiters.has("r1")).toBe(false);
  });

  it("are known by the id under which they asked, as long as they wait", () => {
    const { waiters, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    for (const peer of ["b", "c", "d"])
      waiters.add("r1", { ...asking(peer, `by ${peer}`), answer: answer(peer) });
    expect(["r1", "by b", "by c", "by d"].map((id) => waiters.awaitedBy(id))).toEqual([
      undefined,
      "r1",
      "r1",
      "r1",
    ]);
    expect(["r1", "by b", "by e"].map((id) => waiters.isWaiting(id))).toEqual([true, true, false]);
    waiters.remove("r1", asking("b", "by b"));
    waiters.forgetPeer("c");
    expect(["by b", "by c", "by d"].map((id) => waiters.awaitedBy(id))).toEqual([undefined, undefined, "r1"]);
    waiters.settle("r1", REPLY);
    expect(waiters.awaitedBy("by d")).toBe(undefined);
    expect(waiters.isWaiting("by d")).toBe(false);
  });

  it("are not known for who has left others waiting", () => {
    const { waiters, answer } = waitersOf();
    waiters.add("r1", { ...asking("b", "by b"), answer: answer("b") });
    expect(waiters.has("r1")).toBe(true);
    expect(waiters.isWaiting("r1")).toBe(false);
  });

  it("are answered each for their own request", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("first") });
    waiters.add("r2", { ...asking("a", "r2"), answer: answer("second") });
    waiters.settle("r2", REPLY);
    expect(told).toEqual(["second reply"]);
    expect(waiters.has("r1")).toBe(true);
  });

  it("wait once by the newer way when they ask again", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("old") });
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("new") });
    waiters.settle("r1", REPLY);
    expect(told).toEqual(["new reply"]);
  });

  it("wait twice when one peer asks under two ids", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("one") });
    waiters.add("r1", { ...asking("a", "r2"), answer: answer("two") });
    waiters.remove("r1", asking("a", "r1"));
    waiters.settle("r1", REPLY);
    expect(told).toEqual(["two reply"]);
  });

  it("may leave, and then there is nobody", () => {
    const { waiters, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    waiters.remove("r1", asking("b", "r1"));
    expect(waiters.has("r1")).toBe(true);
    waiters.remove("r1", asking("a", "r1"));
    expect(waiters.has("r1")).toBe(false);
    waiters.remove("r9", asking("a", "r9"));
  });

  it("are forgotten with their peer, which leaves those requests that nobody else waits for", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    waiters.add("r2", { ...asking("a", "r2"), answer: answer("a") });
    waiters.add("r2", { ...asking("b", "r3"), answer: answer("b") });
    waiters.add("r4", { ...asking("b", "r4"), answer: answer("b") });
    expect(waiters.forgetPeer("a")).toEqual(["r1"]);
    expect(waiters.forgetPeer("a")).toEqual([]);
    waiters.settle("r2", REPLY);
    expect(told).toEqual(["b reply"]);
    expect(waiters.has("r4")).toBe(true);
  });

  it("leave with their shard, also those whose request is not in memory", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1", "default:1"), answer: answer("a") });
    waiters.add("r2", { ...asking("a", "r2", "default:2"), answer: answer("b") });
    waiters.add("r3", { ...asking("b", "r4", "default:3"), answer: answer("c") });
    const rejected = (requestId: string): WireMessage => ({
      type: "rejected",
      requestId,
      code: "NOT_ASSIGNED",
      detail: "it moves",
    });
    waiters.settleShards(new Set<ShardId>(["default:1", "default:3"]), rejected);
    expect(told).toEqual(["a rejected", "c rejected"]);
    expect(["r1", "r2", "r3"].map((requestId) => waiters.has(requestId))).toEqual([false, true, false]);
  });

  it("of other shards are not looked at when one leaves, however many they are", () => {
    const { waiters, told, answer } = waitersOf();
    let looks = 0;
    for (let count = 0; count < 50; count += 1) {
      const waiter = { ...asking("a", `r${count}`), answer: answer("a") };
      const shardId = { get: () => ((looks += 1), "default:1" as const) };
      waiters.add(`r${count}`, Object.defineProperty(waiter, "shardId", shardId));
    }
    waiters.add("other", { ...asking("a", "other", "default:2"), answer: answer("b") });
    looks = 0;
    waiters.settleShards(new Set<ShardId>(["default:2"]), () => REPLY);
    expect([told, looks]).toEqual([["b reply"], 0]);
  });

  it("may ask again as soon as they are told, and wait for that", () => {
    const { waiters, told, answer } = waitersOf();
    const again = () => waiters.add("r1", { ...asking("a", "r2"), answer: answer("again") });
    waiters.add("r1", { ...asking("a", "r1"), answer: again });
    waiters.settle("r1", REPLY);
    expect([waiters.isWaiting("r1"), waiters.isWaiting("r2")]).toEqual([false, true]);
    waiters.settle("r1", REPLY);
    expect(told).toEqual(["again reply"]);
  });

  it("leave nothing with their shard once they are told", () => {
    const { waiters, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    waiters.settle("r1", REPLY);
    const left: string[] = [];
    waiters.settleShards(new Set<ShardId>(["default:1"]), (requestId) => {
      left.push(requestId);
      return REPLY;
    });
    expect(left).toEqual([]);
  });

  it("leave with their shard, also where another one of it has left before", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1"), answer: answer("a") });
    waiters.add("r1", { ...asking("b", "r2"), answer: answer("b") });
    waiters.leave("r2");
    waiters.settleShards(new Set<ShardId>(["default:1"]), () => REPLY);
    expect(told).toEqual(["a reply"]);
  });

  it("leave with each of the shards for which they wait, and with none once they wait no more", () => {
    const { waiters, told, answer } = waitersOf();
    waiters.add("r1", { ...asking("a", "r1", "default:1"), answer: answer("a") });
    waiters.add("r1", { ...asking("b", "r2", "default:2"), answer: answer("b") });
    waiters.add("r3", { ...asking("a", "r3", "default:1"), answer: answer("c") });
    waiters.leave("r3");
    waiters.remove("r1", asking("a", "r1", "default:1"));
    waiters.settleShards(new Set<ShardId>(["default:1"]), () => REPLY);
    expect(told).toEqual([]);
    waiters.settleShards(new Set<ShardId>(["default:2"]), () => REPLY);
    expect(told).toEqual(["b reply"]);
    expect(["r1", "r3"].map((requestId) => waiters.has(requestId))).toEqual([false, false]);
  });
});
