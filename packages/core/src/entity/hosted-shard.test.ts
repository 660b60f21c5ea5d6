import type { SaveRequestResult } from "../adapter/message-storage.ts";
import { describe, expect, it } from "vitest";
import { BriefMap } from "../data/brief-map.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Activation } from "./activation.ts";
import type { HostedRequest } from "./hosted-request.ts";
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
    shards.beginRead().caughtUp();
    shards.forgetSkipped();
    expect(shard?.isUnread).toBe(false);
    shard?.skipRequest(1, { entityType: "Shop", entityId: "a", shardId: "default:1" });
    shards.forgetSkipped();
    expect(shard?.isUnread).toBe(true);
    expect(shards.held(new BriefMap()).sequences).toEqual([]);
  });

  it("takes what begins at once and nothing that would wait, where payloads take more than there is room for", () => {
    const entity = (entityId: string) => ({ entityType: "Shop", entityId, shardId: "default:1" }) as const;
    const activation = (entityId: string, isFree: boolean, queued?: ReadonlySet<string>) =>
      ({
        address: entity(entityId),
        isFull: false,
        isFree,
        behavior: { queued },
      }) as unknown as Activation;
    const shards = new HostedShards(() => true, 10);
    shards.add({ shardId: "default:1", epoch: 1 }, 0);
    const shard = shards.get("default:1");
    shard?.activations.set("Shop/busy", activation("busy", false));
    shard?.activations.set("Shop/free", activation("free", true));
    // Its signals have a queue of their own, and it may wait for them.
    shard?.activations.set("Shop/execution", activation("execution", false, new Set(["signal"])));
    const requests = new BriefMap<HostedRequest>();
    const hold = (sequence: number | null, payload: string): void =>
      requests.set(payload, { sequence, envelope: { payload } } as HostedRequest);
    hold(7, "1234567");
    hold(null, "890");
    const sweep = shards.beginRead();
    expect(shards.held(requests)).toEqual({ sequences: [7], full: [], payload: 10, room: 10 });
    hold(8, "ab");
    expect(shards.held(requests)).toEqual({
      sequences: [7, 8],
      full: [entity("busy")],
      payload: 12,
      room: 10,
    });
    sweep.caughtUp();
    expect(shard?.isUnread, "something of it may have been left out").toBe(true);
    expect(shard?.isUnreadFor(entity("busy"))).toBe(true);
    expect(shard?.isUnreadFor(entity("free")), "calls of all others need not wait behind that").toBe(false);
    requests.clear();
    const next = shards.beginRead();
    expect(shards.held(requests).full).toEqual([]);
    next.caughtUp();
    expect(shard?.isUnreadFor(entity("busy"))).toBe(false);
  });

  it("has nothing unread of an entity that was all here before a read left it out", () => {
    const address = { entityType: "Shop", entityId: "busy", shardId: "default:1" } as const;
    const shard = readShard();
    const busy = { address, isFull: false, isFree: false, behavior: {} } as unknown as Activation;
    shard.activations.set("Shop/busy", busy);
    const readWithoutRoom = (sweep: number): void => {
      shard.beginRead(sweep);
      expect(shard.unready(true)).toEqual([address]);
      shard.endRead(sweep);
    };
    readWithoutRoom(2);
    expect(shard.isUnreadFor(address)).toBe(false);
    shard.markUnread();
    readWithoutRoom(3);
    expect(shard.isUnreadFor(address), "what came may have been for it").toBe(true);
    readWithoutRoom(4);
    expect(shard.isUnreadFor(address), "and still waits").toBe(true);
    read(shard, 5);
    expect(shard.isUnread).toBe(false);
  });

  it("takes what its handlers call although reads of others look at what is busy on it, while it is given up", () => {
    const address = { entityType: "Shop", entityId: "busy", shardId: "default:1" } as const;
    const shard = readShard();
    shard.activations.set("Shop/busy", { address, isFull: true, behavior: {} } as unknown as Activation);
    shard.windDown([]);
    shard.unready(false);
    expect(
      shard.takesNested({ address, persisted: true, readPendingFirst: false } as unknown as Envelope),
    ).toBe(true);
  });

  it("takes nothing of its handlers' before which storage is to be read, while it is given up (INV-4)", () => {
    const address = { entityType: "Shop", entityId: "a", shardId: "default:1" } as const;
    const shard = readShard();
    shard.windDown([]);
    const call = { address, persisted: true, readPendingFirst: true } as unknown as Envelope;
    expect(shard.takesNested(call)).toBe(false);
    expect(shard.takesNested({ ...call, persisted: false }), "which has no order").toBe(true);
  });

  it("takes what its handlers call only while the lease is held", () => {
    let isHeld = true;
    const address = { entityType: "Shop", entityId: "a", shardId: "default:1" } as const;
    const call = { address, persisted: false } as unknown as Envelope;
    const shards = new HostedShards(() => isHeld);
    shards.add({ shardId: "default:1", epoch: 1 }, 0);
    const shard = shards.get("default:1");
    expect(shards.servedForNested(call)).toBe(shard);
    isHeld = false;
    expect(shards.servedForNested(call)).toBeUndefined();
    isHeld = true;
    shard?.windDown([]);
    expect(shards.servedForNested(call)).toBe(shard);
    isHeld = false;
    expect(shards.servedForNested(call)).toBeUndefined();
  });

  it("is not read by what was read while the lease was over", () => {
    let isHeld = true;
    const shards = new HostedShards(() => isHeld);
    shards.add({ shardId: "default:1", epoch: 1 }, 0);
    const sweep = shards.beginRead();
    isHeld = false;
    sweep.caughtUp();
    isHeld = true;
    expect(shards.get("default:1")?.isUnread).toBe(true);
  });
});
