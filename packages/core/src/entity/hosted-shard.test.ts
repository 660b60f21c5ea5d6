import { describe, expect, it } from "vitest";
import { HostedShard } from "./hosted-shard.ts";

function readShard(): HostedShard {
  const shard = new HostedShard({ shardId: "default:1", epoch: 1 });
  shard.endRead(shard.beginRead());
  return shard;
}

describe("a shard", () => {
  it("is unread until a read that began after its claim has come to its end", () => {
    const shard = new HostedShard({ shardId: "default:1", epoch: 1 });
    expect(shard.isUnread).toBe(true);
    const mark = shard.beginRead();
    expect(shard.isUnread).toBe(true);
    shard.endRead(mark);
    expect(shard.isUnread).toBe(false);
  });

  it("stays unread when something came while the read was under way", () => {
    const shard = readShard();
    const mark = shard.beginRead();
    shard.markUnread();
    shard.endRead(mark);
    expect(shard.isUnread).toBe(true);
    shard.endRead(shard.beginRead());
    expect(shard.isUnread).toBe(false);
  });

  it("is unread while a request is only stored, and after it until the next read, whatever became of it", async () => {
    for (const outcome of [Promise.resolve("stored"), Promise.reject(new Error("unknown"))]) {
      const shard = readShard();
      const store = shard.store(() => outcome).catch(() => undefined);
      const mark = shard.beginRead();
      expect(shard.isUnread).toBe(true);
      await store;
      shard.endRead(mark);
      expect(shard.isUnread, "that read may have missed it").toBe(true);
      shard.endRead(shard.beginRead());
      expect(shard.isUnread).toBe(false);
    }
  });
});
