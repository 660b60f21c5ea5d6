import { describe, expect, it } from "vitest";
import type { MessageStorage, PendingPage, PendingQuery } from "../adapter/message-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Envelope, PendingRequest } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import { Counters } from "./counters.ts";
import { HostedShards } from "./hosted-shards.ts";
import { Inbox, type InboxOptions } from "./inbox.ts";

const ROOMY = { payload: 0, room: 1 };

/** The shards of a runner, as its inbox asks for them. */
function shardsOf(...shardIds: readonly ShardId[]) {
  const shards = new HostedShards(() => true);
  const add = (shardId: ShardId): void => shards.add({ shardId, epoch: 1 }, 0);
  for (const shardId of shardIds) add(shardId);
  const begin: InboxOptions["begin"] = (of) => shards.beginRead(of);
  return {
    begin,
    add,
    drop: (shardId: ShardId) => shards.delete(shardId),
    isRead: (shardId: ShardId) => shards.get(shardId)?.isUnread === false,
  };
}

function inboxOf(options: Pick<InboxOptions, "messages"> & Partial<InboxOptions>): Inbox {
  return new Inbox({
    clock: new VirtualClock(),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    counters: new Counters(),
    pollIntervalMs: 1_000,
    beginAll: () => undefined,
    begin: shardsOf("default:1").begin,
    held: () => ({ sequences: [], full: [], ...ROOMY }),
    admit: () => null,
    observed: (call) => call(),
    ...options,
  });
}

interface Waiting {
  readonly sequence: number;
  readonly shardId: ShardId;
}

/** Those of what waits that a query is for. */
function leftOf(
  waiting: readonly Waiting[],
  { shardIds, excludingSequences }: PendingQuery,
): readonly Waiting[] {
  const held = new Set(excludingSequences);
  return waiting.filter(({ sequence, shardId }) => shardIds.includes(shardId) && !held.has(sequence));
}

function pending(requestId: string, { sequence, shardId }: Waiting): PendingRequest {
  return {
    envelope: { requestId, address: { shardId } },
    sequence,
    attempts: 0,
  } as unknown as PendingRequest;
}

/** The first of what is left, as storage gives it. */
function firstOf(left: readonly Waiting[], limit: number): PendingPage {
  const requests = left.slice(0, limit).map((each) => pending(`r${each.sequence}`, each));
  return { requests, more: left.length > requests.length, nextDueAt: null };
}

/** Reads all of a backlog once, from a storage that gives no page with more requests than `longest`, with these without room. */
async function readBacklog(
  count: number,
  longest: number,
  full: readonly EntityAddress[] = [],
): Promise<{ readonly asked: readonly number[]; readonly admitted: readonly number[] }> {
  const asked: number[] = [];
  const admitted: number[] = [];
  const readPending: MessageStorage["readPending"] = ({ limit, excludingSequences }) => {
    asked.push(limit);
    const left = Array.from({ length: count }, (_, sequence) => ({
      sequence,
      shardId: "default:1" as const,
    }));
    return Promise.resolve(firstOf(left.slice(excludingSequences.length), Math.min(limit, longest)));
  };
  const inbox = inboxOf({
    messages: { readPending } as MessageStorage,
    held: () => ({ sequences: admitted, full, ...ROOMY }),
    admit: ({ sequence }) => Promise.resolve(void admitted.push(sequence)),
  });
  await inbox.wake();
  return { asked, admitted };
}

/** An inbox each of whose reads is answered when its test says so, and what it admitted. */
function readingInbox(options: Partial<InboxOptions> = {}) {
  const clock = new VirtualClock();
  const reads: ((page: PendingPage) => Promise<void>)[] = [];
  const admitted: string[] = [];
  const readPending: MessageStorage["readPending"] = () =>
    new Promise((resolve) =>
      reads.push((page) => {
        resolve(page);
        return clock.settle();
      }),
    );
  const inbox = inboxOf({
    clock,
    messages: { readPending } as MessageStorage,
    admit({ envelope }) {
      admitted.push(envelope.requestId);
      return null;
    },
    ...options,
  });
  return { clock, inbox, reads, admitted };
}

/** An inbox over a backlog, whose test does something once a page was taken, and in which page each was admitted, in that order. */
function inboxOver(
  waiting: readonly Waiting[],
  shards: Pick<InboxOptions, "begin">,
  taken: (page: number) => void,
) {
  const admittedIn = new Map<number, number>();
  let pages = 0;
  const readPending: MessageStorage["readPending"] = async (query) => {
    const left = leftOf(waiting, query);
    pages += 1;
    await Promise.resolve();
    taken(pages);
    return firstOf(left, query.limit);
  };
  const inbox = inboxOf({
    messages: { readPending } as MessageStorage,
    begin: shards.begin,
    held: () => ({ sequences: [...admittedIn.keys()], full: [], ...ROOMY }),
    admit({ sequence }) {
      admittedIn.set(sequence, pages);
      return null;
    },
  });
  return { inbox, admittedIn };
}

function pageOf(requestIds: readonly string[], more: boolean = false): PendingPage {
  const requests = requestIds.map((requestId, sequence) =>
    pending(requestId, { sequence, shardId: "default:1" }),
  );
  return { requests, more, nextDueAt: null };
}

describe("an inbox", () => {
  it("takes nothing that ended or was put off while it was read, and takes it from a later page (I2)", async () => {
    const { inbox, reads, admitted } = readingInbox();
    const reading = inbox.wake();
    inbox.settled({ requestId: "a", payload: "" } as Envelope);
    await reads[0]?.(pageOf(["a", "b"], true));
    expect(admitted).toEqual(["b"]);
    await reads[1]?.(pageOf(["a"]));
    await reading;
    expect(admitted).toEqual(["b", "a"]);
  });

  it("takes nothing of a shard that left while it was read (I2)", async () => {
    const shards = shardsOf("default:1");
    const { inbox, reads, admitted } = readingInbox({ begin: shards.begin });
    const reading = inbox.wake();
    shards.drop("default:1");
    await reads[0]?.(pageOf(["a"]));
    await reading;
    expect(admitted).toEqual([]);
  });

  it("reads once more for whoever wakes it while it reads, who waits for that", async () => {
    const { inbox, reads } = readingInbox();
    void inbox.wake();
    let isRead = false;
    for (let n = 0; n < 3; n += 1) void inbox.wake().then(() => (isRead = true));
    await reads[0]?.(pageOf([]));
    expect([reads.length, isRead]).toEqual([2, false]);
    await reads[1]?.(pageOf([]));
    expect([reads.length, isRead]).toEqual([2, true]);
  });

  it("reads when the earliest of those that it heard of falls due, and each poll interval", async () => {
    const { clock, inbox, reads } = readingInbox({ pollIntervalMs: 60_000 });
    const at = (ms: number): number => clock.now() + ms;
    void inbox.wake();
    await reads[0]?.({ ...pageOf([]), nextDueAt: at(20_000) });
    inbox.noteDue(at(10_000));
    inbox.noteDue(at(30_000));
    await clock.advance(9_999);
    expect(reads).toHaveLength(1);
    await clock.advance(1);
    expect(reads).toHaveLength(2);
    await reads[1]?.({ ...pageOf([]), nextDueAt: at(10_000) });
    await clock.advance(10_000);
    expect(reads).toHaveLength(3);
    await reads[2]?.(pageOf([]));
    inbox.start();
    for (const count of [4, 5]) {
      await clock.advance(60_000);
      expect(reads).toHaveLength(count);
      await reads[count - 1]?.(pageOf([]));
    }
    inbox.stop();
    await clock.advance(120_000);
    expect(reads).toHaveLength(5);
  });

  it("reads a backlog in pages that grow, up to a bound", async () => {
    const { asked, admitted } = await readBacklog(5_000, Number.POSITIVE_INFINITY);
    expect(admitted).toEqual(Array.from({ length: 5_000 }, (_, sequence) => sequence));
    for (const [index, limit] of asked.entries())
      expect(limit).toBeGreaterThanOrEqual(asked[index - 1] ?? limit);
    expect(asked.length).toBeLessThan(10);
    expect(Math.max(...asked)).toBeLessThan(2_000);
  });

  it("reads one in pages that do not grow while an entity has no room, whose requests are read again", async () => {
    const full = { entityType: "Counter", entityId: "a", shardId: "default:1" } as const;
    const { asked, admitted } = await readBacklog(5_000, Number.POSITIVE_INFINITY, [full]);
    expect(admitted).toHaveLength(5_000);
    expect(Math.max(...asked)).toBe(asked[0]);
  });

  it("asks for less where a read fails, until storage manages it", async () => {
    const asked: number[] = [];
    const inbox = inboxOf({
      messages: {
        readPending({ limit }) {
          asked.push(limit);
          return limit > 3 ? Promise.reject(new Error("too much in the time")) : Promise.resolve(pageOf([]));
        },
      } as Partial<MessageStorage> as MessageStorage,
    });
    for (let times = 0; times < 10 && (asked.at(-1) ?? 4) > 3; times += 1) await inbox.wake();
    expect(asked.at(-1)).toBeLessThanOrEqual(3);
    expect(asked).toEqual(asked.toSorted((a, b) => b - a));
  });

  it("asks for little more than a page of large requests has", async () => {
    const { asked, admitted } = await readBacklog(50, 3);
    expect(admitted).toHaveLength(50);
    for (const limit of asked.slice(1)) expect(limit).toBeLessThan(10);
  });

  it("reads on where a page has but one request", async () => {
    expect((await readBacklog(5, 1)).admitted).toEqual([0, 1, 2, 3, 4]);
  });

  it("asks no more for shards that were given up meanwhile, however much is left on them", async () => {
    const asked: (readonly string[])[] = [];
    const readPending: MessageStorage["readPending"] = ({ shardIds }) => {
      asked.push(shardIds);
      if (asked.length === 1) shards.drop("default:2");
      if (asked.length === 3) shards.drop("default:1");
      // Pages that come to no end, as where nobody else takes what is left.
      return Promise.resolve({ requests: [], more: asked.length < 10, nextDueAt: null });
    };
    const shards = shardsOf("default:1", "default:2");
    const inbox = inboxOf({ messages: { readPending } as MessageStorage, begin: shards.begin });
    await inbox.wake();
    expect(asked).toEqual([["default:1", "default:2"], ["default:1"], ["default:1"]]);
  });

  it("reads new work of a shard behind what waits there, and not behind the backlog of all others", async () => {
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence,
      shardId: sequence % 10 === 7 ? ("default:2" as const) : ("default:1" as const),
    }));
    const { inbox, admittedIn } = inboxOver(waiting, shardsOf("default:1", "default:2"), (page) => {
      if (page !== 1) return;
      waiting.push({ sequence: 20_000, shardId: "default:2" });
      void inbox.wake("default:2");
    });
    await inbox.wake();
    const admitted = [...admittedIn.keys()];
    expect(admittedIn.get(20_000)).toBeLessThan(10);
    expect(admitted.toSorted((a, b) => a - b)).toEqual(waiting.map(({ sequence }) => sequence));
    for (const shardId of ["default:1", "default:2"]) {
      const mine = new Set(
        waiting.filter((each) => each.shardId === shardId).map(({ sequence }) => sequence),
      );
      expect(admitted.filter((sequence) => mine.has(sequence))).toEqual([...mine]);
    }
  });

  it.each([
    { taken: "while a page is read that is not the last", first: 5_000 },
    { taken: "while the last page is read", first: 10 },
  ])("reads new work of a shard first that was taken $taken", async ({ first }) => {
    const shards = shardsOf("default:1");
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence,
      shardId: (sequence < first ? "default:1" : "default:3") as ShardId,
    }));
    const { inbox, admittedIn } = inboxOver(waiting, shards, (page) => {
      if (page !== 1) return;
      shards.add("default:2");
      shards.add("default:3");
      waiting.push({ sequence: 20_000, shardId: "default:2" });
      void inbox.wake();
      void inbox.wake("default:2");
    });
    await inbox.wake();
    expect(admittedIn.get(20_000)).toBeLessThan(10);
    expect(admittedIn.size).toBe(20_001);
    for (const shardId of ["default:1", "default:2", "default:3"] as const)
      expect(shards.isRead(shardId)).toBe(true);
  });

  it("reads on for what is here when a shard with new work leaves, and reads no page once it is stopped", async () => {
    const asked: (readonly ShardId[])[] = [];
    const shards = shardsOf("default:1", "default:2");
    const readPending: MessageStorage["readPending"] = async ({ shardIds }) => {
      asked.push(shardIds);
      await Promise.resolve();
      if (asked.length === 1) {
        void inbox.wake("default:2");
        shards.drop("default:2");
      }
      if (asked.length === 4) void inbox.wake("default:1");
      if (asked.length === 5) inbox.stop();
      return { requests: [], more: asked.length < 10, nextDueAt: null };
    };
    const inbox = inboxOf({ messages: { readPending } as MessageStorage, begin: shards.begin });
    await inbox.wake();
    expect(asked).toEqual([["default:1", "default:2"], ...Array.from({ length: 4 }, () => ["default:1"])]);
    expect(shards.isRead("default:1")).toBe(false);
  });

  it("tells who waits for one shard when that is read, and not when the backlogs of all others are", async () => {
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence,
      shardId: sequence % 20 === 0 ? ("default:2" as const) : ("default:1" as const),
    }));
    const shards = shardsOf("default:1", "default:2");
    const waits: { readonly ofMine: number; readonly isRead: boolean; readonly ofAll: number }[] = [];
    const { inbox, admittedIn } = inboxOver(waiting, shards, (page) => {
      if (page !== 1) return;
      waiting.push({ sequence: 20_000, shardId: "default:2" });
      void inbox.read("default:2").then(() =>
        waits.push({
          ofMine: [...admittedIn.keys()].filter((sequence) => sequence % 20 === 0).length,
          isRead: shards.isRead("default:2"),
          ofAll: admittedIn.size,
        }),
      );
    });
    await inbox.wake();
    expect(waits).toEqual([{ ofMine: 1_001, isRead: true, ofAll: expect.any(Number) }]);
    expect(waits[0]?.ofAll).toBeLessThan(10_000);
    expect(admittedIn.size).toBe(20_001);
  });

  it("keeps nobody waiting for one shard whose read fails, or which left", async () => {
    const shards = shardsOf("default:1");
    const inbox = inboxOf({
      messages: {
        readPending: () => Promise.reject(new Error("out of reach")),
      } as Partial<MessageStorage> as MessageStorage,
      begin: shards.begin,
    });
    await inbox.read("default:1");
    shards.drop("default:1");
    await inbox.read("default:1");
    inbox.stop();
    await inbox.read("default:1");
  });

  it("waits with the next page for room, and not for ever (I4)", async () => {
    let payload = 13;
    const held = () => ({ sequences: [], full: [], payload, room: 10 });
    const { clock, inbox, reads } = readingInbox({ held });
    void inbox.wake();
    await reads[0]?.(pageOf(["a"], true));
    inbox.settled({ requestId: "a", payload: "12" } as Envelope);
    await clock.settle();
    expect(reads).toHaveLength(1);
    inbox.settled({ requestId: "b", payload: "3" } as Envelope);
    await clock.settle();
    expect(reads).toHaveLength(2);
    await reads[1]?.(pageOf(["c"], true));
    await clock.advance(1_000);
    expect(reads).toHaveLength(3);
    payload = 1_000;
    await reads[2]?.(pageOf(["d"], true));
    await clock.advance(1_000);
    expect(reads).toHaveLength(4);
    payload = 10;
    await reads[3]?.(pageOf(["e"], true));
    await clock.advance(1_000);
    expect(reads, "much more slowly").toHaveLength(4);
    await clock.advance(60_000);
    expect(reads).toHaveLength(5);
    await reads[4]?.(pageOf(["f"], true));
    expect(reads).toHaveLength(6);
  });

  it("reads what it left out for want of room as soon as there is some, and nothing once it is stopped", async () => {
    const { clock, inbox, reads } = readingInbox({
      held: () => ({ sequences: [], full: [], payload: 12, room: 10 }),
    });
    void inbox.wake();
    await reads[0]?.(pageOf(["a"]));
    expect(reads).toHaveLength(1);
    inbox.settled({ requestId: "a", payload: "12" } as Envelope);
    await clock.settle();
    expect(reads).toHaveLength(2);
    void reads[1]?.(pageOf(["b"], true));
    const reading = inbox.wake();
    await clock.settle();
    inbox.stop();
    await reading;
    expect(reads).toHaveLength(2);
  });

  it("reads what falls due on a shard that was read aside, while there is more of all", async () => {
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence: sequence + 10,
      shardId: "default:1" as ShardId,
    }));
    const shards = shardsOf("default:1", "default:2");
    const { inbox, admittedIn } = inboxOver(waiting, shards, (page) => {
      if (page === 1) void inbox.wake("default:2");
      if (page !== 4) return;
      // As what was put off, or retried: it was stored before all that waits.
      waiting.unshift({ sequence: 1, shardId: "default:2" });
      void inbox.wake();
    });
    await inbox.wake();
    expect(admittedIn.get(1)).toBeLessThan(10);
    expect(admittedIn.size).toBe(20_001);
  });

  it("reads shards that came, however much new work there is on others", async () => {
    const shards = shardsOf("default:1", "default:2");
    let pages = 0;
    let isRead = false;
    const readPending: MessageStorage["readPending"] = async ({ shardIds }) => {
      pages += 1;
      await Promise.resolve();
      if (shardIds.includes("default:9")) isRead = true;
      if (pages === 2) {
        shards.add("default:9");
        void inbox.wake();
      }
      if (pages === 200) inbox.stop();
      void inbox.wake(pages % 2 === 0 ? "default:1" : "default:2");
      return { requests: [], more: pages < 4 || shardIds.length === 1, nextDueAt: null };
    };
    const inbox = inboxOf({ messages: { readPending } as MessageStorage, begin: shards.begin });
    await inbox.wake();
    expect(isRead).toBe(true);
  });

  it("keeps nobody waiting for a shard that left until the backlogs of the others are read", async () => {
    const shards = shardsOf("default:1", "default:2");
    let pages = 0;
    let before = Number.POSITIVE_INFINITY;
    const readPending: MessageStorage["readPending"] = async () => {
      pages += 1;
      await Promise.resolve();
      if (pages === 1) void inbox.read("default:2").then(() => (before = Math.min(before, pages)));
      if (pages === 2) shards.drop("default:2");
      return { requests: [], more: pages < 100, nextDueAt: null };
    };
    const inbox = inboxOf({ messages: { readPending } as MessageStorage, begin: shards.begin });
    await inbox.wake();
    expect(before).toBeLessThan(10);
  });

  it("does not read again for each little that leaves memory while there is no room", async () => {
    const { clock, inbox, reads } = readingInbox({
      held: () => ({ sequences: [], full: [], payload: 1_001, room: 1_000 }),
    });
    void inbox.wake();
    for (let n = 0; n < 20; n += 1) {
      await reads[n]?.(pageOf([]));
      inbox.settled({ requestId: `c${n}`, payload: "12" } as Envelope);
      await clock.settle();
    }
    expect(reads.length).toBeLessThan(3);
  });
});
