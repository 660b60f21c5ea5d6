import type { SaveRequestResult } from "../adapter/message-storage.ts";
import { describe, expect, it } from "vitest";
import { BriefMap } from "../data/brief-map.ts";
import { HostedShard } from "./hosted-shard.ts";
import { HostedShards } from "./hosted-shards.ts";
import { SkippedRequests } from "./skipped-requests.ts";

function newShard(): HostedShard {
  return new HostedShard({ shardId: "default:1", epoch: 1 }, 0, new SkippedRequests());
}

function read(shard: HostedShard, sweep: number): void {
  shard.beginRead(sweep);
  shard.endRead(sweep);
}

function readShard(): HostedShard {
  const shard = newShard();
  read(shard, 1);
  return shard;
}

describe("a shard", () => {
  it("is unread until a read that began after its claim has come to its end", () => {
    const shard = newShard();
    expect(shard.isUnread).toBe(true);
    shard.beginRead(2);
    expect(shard.isUnread).toBe(true);
    shard.endRead(2);
    expect(shard.isUnread).toBe(false);
  });

  it("stays unread when something came while the read was under way", () => {
    const shard = readShard();
    shard.beginRead(2);
    shard.markUnread();
    shard.endRead(2);
    expect(shard.isUnread).toBe(true);
    read(shard, 3);
    expect(shard.isUnread).toBe(false);
  });

  it("is not unread after a request that storage had already", async () => {
    const shard = readShard();
    const existing = {
      state: "answered",
      requestId: "1",
      reply: { requestId: "1", exit: { ok: true, value: "" } },
    };
    const duplicate = { outcome: "duplicate", sequence: 1, existing } as const;
    await shard.store(() => Promise.resolve(duplicate as SaveRequestResult));
    expect(shard.isUnread).toBe(false);
  });

  it("is unread while a request is only stored, and after it until the next read, whatever became of it", async () => {
    const saved = { outcome: "accepted", sequence: 1 } as const;
    for (const outcome of [Promise.resolve(saved), Promise.reject(new Error("unknown"))]) {
      const shard = readShard();
      const store = shard.store(() => outcome).catch(() => undefined);
      shard.beginRead(2);
      expect(shard.isUnread).toBe(true);
      await store;
      shard.endRead(2);
      expect(shard.isUnread, "that read may have missed it").toBe(true);
      read(shard, 3);
      expect(shard.isUnread).toBe(false);
    }
  });

  it("is unread again once types are registered, where something was left out for want of code", () => {
    const shards = new HostedShards(() => true);
    shards.add({ shardId: "default:1", epoch: 1 }, 0);
    const shard = shards.get("default:1");
    shards.beginRead(0).caughtUp();
    shards.forgetSkipped();
    expect(shard?.isUnread).toBe(false);
    shard?.skipRequest(1, { entityType: "Shop", entityId: "a", shardId: "default:1" });
    shards.forgetSkipped();
    expect(shard?.isUnread).toBe(true);
    expect(shards.held(new BriefMap()).sequences).toEqual([]);
  });
});
