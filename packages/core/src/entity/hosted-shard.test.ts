import { describe, expect, it } from "vitest";
import { HostedShard } from "./hosted-shard.ts";

function read(shard: HostedShard, sweep: number): void {
  shard.beginRead(sweep);
  shard.endRead(sweep);
}

function readShard(): HostedShard {
  const shard = new HostedShard({ shardId: "default:1", epoch: 1 }, 0);
  read(shard, 1);
  return shard;
}

describe("a shard", () => {
  it("is unread until a read that began after its claim has come to its end", () => {
    const shard = new HostedShard({ shardId: "default:1", epoch: 1 }, 0);
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

  it("is unread while a request is only stored, and after it until the next read, whatever became of it", async () => {
    for (const outcome of [Promise.resolve("stored"), Promise.reject(new Error("unknown"))]) {
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
});
