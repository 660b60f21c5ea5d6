import { describe, expect, it } from "vitest";
import type { MessageStorage, PendingPage, PendingQuery } from "../adapter/message-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { PendingRequest } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import { Counters } from "./counters.ts";
import { Inbox, type InboxOptions } from "./inbox.ts";

function inboxOf(options: Pick<InboxOptions, "messages" | "begin"> & Partial<InboxOptions>): Inbox {
  return new Inbox({
    clock: new VirtualClock(),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    counters: new Counters(),
    pollIntervalMs: 1_000,
    held: () => ({ sequences: [], full: [] }),
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
    begin: () => ({ shardIds: ["default:1"], covers: () => true, caughtUp: () => undefined }),
    held: () => ({ sequences: admitted, full }),
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
    begin: () => ({ shardIds: ["default:1"], covers: () => true, caughtUp: () => undefined }),
    admit({ envelope }) {
      admitted.push(envelope.requestId);
      return null;
    },
    ...options,
  });
  return { clock, inbox, reads, admitted };
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
    inbox.settled("a");
    await reads[0]?.(pageOf(["a", "b"], true));
    expect(admitted).toEqual(["b"]);
    await reads[1]?.(pageOf(["a"]));
    await reading;
    expect(admitted).toEqual(["b", "a"]);
  });

  it("takes nothing of a shard that left while it was read (I2)", async () => {
    let covers = true;
    const { inbox, reads, admitted } = readingInbox({
      begin: () => ({ shardIds: ["default:1"], covers: () => covers, caughtUp: () => undefined }),
    });
    const reading = inbox.wake();
    covers = false;
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
      begin: () => ({ shardIds: ["default:1"], covers: () => true, caughtUp: () => undefined }),
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
      // Pages that come to no end, as where nobody else takes what is left.
      return Promise.resolve({ requests: [], more: asked.length < 10, nextDueAt: null });
    };
    const inbox = inboxOf({
      messages: { readPending } as MessageStorage,
      begin: () => ({
        shardIds: ["default:1", "default:2"],
        covers: (shardId) => asked.length < (shardId === "default:1" ? 3 : 1),
        caughtUp: () => undefined,
      }),
    });
    await inbox.wake();
    expect(asked).toEqual([["default:1", "default:2"], ["default:1"], ["default:1"]]);
  });

  it("reads new work of a shard behind what waits there, and not behind the backlog of all others", async () => {
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence,
      shardId: sequence % 10 === 7 ? ("default:2" as const) : ("default:1" as const),
    }));
    const admitted: number[] = [];
    let pages = 0;
    let before = 0;
    const readPending: MessageStorage["readPending"] = (query) => {
      pages += 1;
      if (pages === 2) {
        waiting.push({ sequence: 20_000, shardId: "default:2" });
        void inbox.wake("default:2");
      }
      const left = leftOf(waiting, query);
      return Promise.resolve(firstOf(left, query.limit));
    };
    const inbox = inboxOf({
      messages: { readPending } as MessageStorage,
      begin: () => ({
        shardIds: ["default:1", "default:2"],
        covers: () => true,
        caughtUp: () => undefined,
      }),
      held: () => ({ sequences: admitted, full: [] }),
      admit: ({ sequence }) => {
        if (sequence === 20_000) before = pages;
        admitted.push(sequence);
        return null;
      },
    });
    await inbox.wake();
    expect(before).toBeLessThan(10);
    expect(admitted.toSorted((a, b) => a - b)).toEqual(waiting.map(({ sequence }) => sequence));
    for (const shardId of ["default:1", "default:2"]) {
      const mine = new Set(
        waiting.filter((each) => each.shardId === shardId).map(({ sequence }) => sequence),
      );
      expect(admitted.filter((sequence) => mine.has(sequence))).toEqual([...mine]);
    }
  });

  it.each([
    { taken: "while a page is read that is not the last of its sweep", first: 5_000 },
    { taken: "while the last page of a sweep is read", first: 10 },
  ])("reads new work of a shard first that was taken $taken", async ({ first }) => {
    const shards: ShardId[] = ["default:1"];
    const waiting = Array.from({ length: 20_000 }, (_, sequence) => ({
      sequence,
      shardId: (sequence < first ? "default:1" : "default:3") as ShardId,
    }));
    const admitted: number[] = [];
    const caughtUp: (readonly ShardId[])[] = [];
    let pages = 0;
    let before = 0;
    const readPending: MessageStorage["readPending"] = async (query) => {
      const left = leftOf(waiting, query);
      pages += 1;
      await Promise.resolve();
      if (pages === 1) {
        shards.push("default:2", "default:3");
        waiting.push({ sequence: 20_000, shardId: "default:2" });
        void inbox.wake();
        void inbox.wake("default:2");
      }
      return firstOf(left, query.limit);
    };
    const inbox = inboxOf({
      messages: { readPending } as MessageStorage,
      begin: () => {
        const shardIds = [...shards];
        return {
          shardIds,
          covers: (shardId) => shardIds.includes(shardId),
          caughtUp: () => caughtUp.push(shardIds),
        };
      },
      held: () => ({ sequences: admitted, full: [] }),
      admit: ({ sequence }) => {
        if (sequence === 20_000) before = pages;
        admitted.push(sequence);
        return null;
      },
    });
    await inbox.wake();
    expect(before).toBeLessThan(10);
    expect(admitted).toHaveLength(20_001);
    expect(caughtUp.at(-1)).toEqual(["default:1", "default:2", "default:3"]);
    // Not before all of it was read.
    expect(caughtUp).toHaveLength(first > 1_000 ? 1 : 2);
  });

  it("reads on for what is here when a shard with new work leaves, and reads no page once it is stopped", async () => {
    const asked: (readonly ShardId[])[] = [];
    let isHere = true;
    let caughtUp = 0;
    const readPending: MessageStorage["readPending"] = async ({ shardIds }) => {
      asked.push(shardIds);
      await Promise.resolve();
      if (asked.length === 1) {
        void inbox.wake("default:2");
        isHere = false;
      }
      if (asked.length === 4) void inbox.wake("default:1");
      if (asked.length === 5) inbox.stop();
      return { requests: [], more: asked.length < 10, nextDueAt: null };
    };
    const inbox = inboxOf({
      messages: { readPending } as MessageStorage,
      begin: () => ({
        shardIds: isHere ? ["default:1", "default:2"] : ["default:1"],
        covers: (shardId) => shardId === "default:1" || isHere,
        caughtUp: () => (caughtUp += 1),
      }),
    });
    await inbox.wake();
    expect(asked).toEqual([["default:1", "default:2"], ...Array.from({ length: 4 }, () => ["default:1"])]);
    expect(caughtUp).toBe(0);
  });
});
