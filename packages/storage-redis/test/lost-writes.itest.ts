// A Redis that forgot writes which it had answered: no two owners of a shard write beside each other (INV-1), and no owner
// goes on from what is gone.

import { FencedError, type Fence, type OpenStorage } from "@holdfast/core/adapter";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startOwnRedis, type AppendOnlyMark, type OwnRedis } from "../../../test/services/redis.ts";
import { redisStorage } from "../src/index.ts";
import { services } from "./backends.ts";
import { claim, due, entry, ORDER, ordinalsOf, request } from "./work.ts";

/** Copies begin at once. */
const AT_ONCE = ["--repl-diskless-sync-delay", "0"];

let redis: OwnRedis;
let admin: Redis;
let sessions: OpenStorage[];
let cases = 0;

beforeAll(async () => {
  redis = await startOwnRedis({ extra: ["--appendonly", "yes", "--appendfsync", "everysec", ...AT_ONCE] });
  admin = new Redis(redis.url);
  admin.on("error", () => undefined);
});
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
});
beforeEach(() => {
  sessions = [];
  cases += 1;
});
afterEach(async () => {
  for (const session of sessions) await session.close();
});

async function open(url: string = redis.url): Promise<OpenStorage> {
  const adapter = redisStorage({ url, prefix: `case-${cases}`, onWarning: () => undefined });
  const session = await adapter.open(services());
  sessions.push(session);
  return session;
}

/** Where the append-only file ends once it holds everything that was answered. */
async function synced(): Promise<AppendOnlyMark> {
  for (;;) {
    const info = await admin.info("persistence");
    if (/^aof_buffer_length:0\r$/mu.test(info) && /^aof_pending_bio_fsync:0\r$/mu.test(info))
      return redis.control.mark();
  }
}

/** Saves a request under this fence. */
function write({ messages }: Pick<OpenStorage, "messages">, fence: Fence): Promise<unknown> {
  return messages.saveRequest(request(), 0, fence);
}

describe("a Redis that lost its last second", () => {
  it("lets the writes of one owner pass and no other's, whoever had claimed before or after (INV-1)", async () => {
    const [first, second] = [await open(), await open()];
    const earlier = await claim(first.messages);
    const mark = await synced();
    const forgotten = await claim(second.messages);
    await write(second, forgotten);
    await redis.control.killAndForget(mark);
    await redis.control.start();

    // What the second one did never was: the first one's claim is the latest.
    await expect(write(second, forgotten)).rejects.toBeInstanceOf(FencedError);
    await write(first, earlier);
    const theirs = await claim(second.messages);
    await expect(write(first, earlier)).rejects.toBeInstanceOf(FencedError);
    await expect(write(second, forgotten)).rejects.toBeInstanceOf(FencedError);
    await write(second, theirs);
    expect(theirs.epoch).toBeGreaterThan(forgotten.epoch);
    expect((await first.messages.readPending(due())).requests).toHaveLength(2);
  });

  it("has forgotten that a shard was ever claimed, and gives its epoch out again: the claim decides (INV-1)", async () => {
    const mark = await synced();
    const old = await open();
    const stale = await claim(old.messages);
    await redis.control.killAndForget(mark);
    await redis.control.start();
    const next = await open();
    const current = await claim(next.messages);
    expect(current.epoch).toBe(stale.epoch);
    await expect(write(old, stale)).rejects.toBeInstanceOf(FencedError);
    await write(next, current);
    await expect(old.workflows.appendJournal(ORDER, [entry(0)], stale, null)).rejects.toBeInstanceOf(
      FencedError,
    );
    expect(await ordinalsOf(next.workflows)).toEqual([]);
  });

  it("leaves no gap in a journal: its owner does not go on from what is gone", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    await workflows.appendJournal(ORDER, [entry(0), entry(1)], fence, null);
    const mark = await synced();
    await workflows.appendJournal(ORDER, [entry(2)], fence, null);
    await redis.control.killAndForget(mark);
    await redis.control.start();
    expect(await ordinalsOf(workflows)).toEqual([0, 1]);
    await expect(workflows.appendJournal(ORDER, [entry(3)], fence, null)).rejects.toBeInstanceOf(FencedError);
    await workflows.appendJournal(ORDER, [entry(2)], await claim(messages), null);
    expect(await ordinalsOf(workflows)).toEqual([0, 1, 2]);
  });

  it("has forgotten what an owner had only read: its claim is void, too", async () => {
    const [owner, sender] = [await open(), await open()];
    const fence = await claim(owner.messages);
    const mark = await synced();
    const gone = request();
    await sender.messages.saveRequest(gone, 0, null);
    expect((await owner.messages.readPending(due())).requests).toHaveLength(1);
    await redis.control.killAndForget(mark);
    await redis.control.start();
    await expect(owner.messages.recordAttempt(gone.requestId, 1, fence)).rejects.toBeInstanceOf(FencedError);
    const next = await claim(owner.messages);
    expect((await owner.messages.readPending(due())).requests).toEqual([]);
    await write(owner, next);
  });

  it("forgets again that it had begun anew, and still no claim of then passes", async () => {
    const session = await open();
    const first = await claim(session.messages);
    const mark = await synced();
    await redis.control.restart();
    const second = await claim(session.messages);
    await redis.control.killAndForget(mark);
    await redis.control.start();
    for (const fence of [first, second])
      await expect(write(session, fence)).rejects.toBeInstanceOf(FencedError);
    const third = await claim(session.messages);
    expect(third.epoch).toBeGreaterThan(second.epoch);
    await write(session, third);
  });

  it("races two owners that claim and write as fast as they can: what passed is one owner's between two claims", async () => {
    const [first, second] = [await open(), await open()];
    const mark = await synced();
    await Promise.all([first, second].map(({ messages }) => claim(messages)));
    await redis.control.killAndForget(mark);
    await redis.control.start();
    const passed: { readonly epoch: number; readonly sequence: number }[] = [];
    const run = async (session: OpenStorage): Promise<void> => {
      for (let round = 0; round < 20; round += 1) {
        const fence = await claim(session.messages);
        const writes = Array.from({ length: 10 }, () => session.messages.saveRequest(request(), 0, fence));
        for (const result of await Promise.allSettled(writes)) {
          if (result.status === "rejected") expect(result.reason).toBeInstanceOf(FencedError);
          else passed.push({ epoch: fence.epoch, sequence: result.value.sequence });
        }
      }
    };
    await Promise.all([run(first), run(second)]);
    const epochs = passed.toSorted((a, b) => a.sequence - b.sequence).map(({ epoch }) => epoch);
    expect(epochs.length).toBeGreaterThan(0);
    expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
  });
});

describe("a Redis that was emptied under a running cluster", () => {
  it("lets no owner of before write, although epochs begin anew (INV-1)", async () => {
    const [old, next] = [await open(), await open()];
    const stale = await claim(old.messages);
    await admin.flushall();
    await expect(write(old, stale)).rejects.toBeInstanceOf(FencedError);
    const current = await claim(next.messages);
    expect(current.epoch).toBe(stale.epoch);
    await expect(write(old, stale)).rejects.toBeInstanceOf(FencedError);
    await write(next, current);
  });

  it("is written to again by the sessions of before, under epochs above those that they had", async () => {
    const session = await open();
    // Without it the server may have forgotten that anybody had entered.
    await synced();
    await redis.control.restart();
    const before = await claim(session.messages);
    // The server's time in milliseconds: far above what an empty Redis begins with.
    expect(before.epoch).toBeGreaterThan(1_000_000_000_000);
    await admin.flushall();
    const after = await claim(session.messages);
    expect(after.epoch).toBeGreaterThan(before.epoch);
    await write(session, after);
    await expect(write(session, before)).rejects.toBeInstanceOf(FencedError);
  });
});

describe("a Redis that became the copy of one that had fallen behind", () => {
  it("refuses writes meanwhile, and then those of an owner whose writes are gone (INV-1)", async () => {
    const behind = await startOwnRedis({ extra: AT_ONCE });
    const copy = new Redis(behind.url);
    try {
      const [lost, kept] = [await open(), await open()];
      const fence = await claim(lost.messages);
      const other = await claim(kept.messages, "default:2");
      await copy.replicaof("127.0.0.1", redis.port);
      await until(copy, "replication", /^master_link_status:up\r$/mu);
      await until(copy, "replication", new RegExp(`^slave_repl_offset:${await offset(admin)}\r$`, "mu"));
      await copy.replicaof("NO", "ONE");
      await write(lost, fence);
      // The same server, and not the same data.
      await admin.replicaof("127.0.0.1", behind.port);
      await expect(write(lost, fence)).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
      await until(admin, "replication", /^master_link_status:up\r$/mu);
      await admin.replicaof("NO", "ONE");

      await expect(write(lost, fence)).rejects.toBeInstanceOf(FencedError);
      expect((await kept.messages.readPending(due())).requests).toEqual([]);
      await write(kept, other);
      await write(lost, await claim(lost.messages));
    } finally {
      copy.disconnect();
      await behind.stop();
    }
  });
});

describe("a connection that outlives its server's time as a copy of one that had fallen behind", () => {
  it.each([
    ["although somebody else has entered them", true, "write"],
    ["although nobody has entered them", false, "write"],
    ["although it has only read since", false, "read"],
    ["although it writes more at once than is gone", false, "burst"],
  ])("does not write to the data that are there now, %s", async (_, isEntered, first) => {
    const behind = await startOwnRedis({ extra: AT_ONCE });
    const copy = new Redis(behind.url);
    try {
      const { messages, workflows } = await open();
      const fence = await claim(messages);
      await workflows.appendJournal(ORDER, [entry(0)], fence, null);
      await copy.replicaof("127.0.0.1", redis.port);
      await until(copy, "replication", /^master_link_status:up\r$/mu);
      await until(copy, "replication", new RegExp(`^slave_repl_offset:${await offset(admin)}\r$`, "mu"));
      await copy.replicaof("NO", "ONE");
      await workflows.appendJournal(ORDER, [entry(1)], fence, null);
      await admin.replicaof("127.0.0.1", behind.port);
      await until(admin, "replication", /^master_link_status:up\r$/mu);
      await admin.replicaof("NO", "ONE");
      if (isEntered) {
        const other = await open();
        for (let count = 0; count < 5; count += 1) await other.messages.saveRequest(request(), 0, null);
      }

      if (first === "read") {
        expect(await ordinalsOf(workflows)).toEqual([0]);
      } else {
        const burst = Array.from({ length: first === "burst" ? 3 : 0 }, () => write({ messages }, fence));
        const appending = workflows.appendJournal(ORDER, [entry(2)], fence, null);
        for (const result of await Promise.allSettled([...burst, appending])) {
          const reason = { code: "PERSISTENCE", outcome: "not-written" };
          expect(result).toMatchObject({ status: "rejected", reason });
        }
      }
      await expect(workflows.appendJournal(ORDER, [entry(2)], fence, null)).rejects.toBeInstanceOf(
        FencedError,
      );
      const next = await claim(messages);
      expect(await ordinalsOf(workflows)).toEqual([0]);
      await workflows.appendJournal(ORDER, [entry(1)], next, null);
    } finally {
      copy.disconnect();
      await behind.stop();
    }
  });
});

describe("a server that got its first replica", () => {
  it("has another name for its data, and every owner keeps its shards: nothing is lost", async () => {
    const main = await startOwnRedis({ extra: AT_ONCE });
    const replica = await startOwnRedis({ extra: AT_ONCE });
    const copy = new Redis(replica.url);
    try {
      const [owner, sender] = [await open(main.url), await open(main.url)];
      const fence = await claim(owner.messages);
      await write(owner, fence);
      await copy.replicaof("127.0.0.1", main.port);
      await until(copy, "replication", /^master_link_status:up\r$/mu);
      // It enters that, and the others' connections do not know of it yet.
      await open(main.url);
      const failure = { code: "PERSISTENCE", outcome: "not-written" };
      await expect(write(owner, fence)).rejects.toMatchObject(failure);
      // Also who writes on nobody's behalf learns of it before anything is stored.
      await expect(sender.messages.saveRequest(request(), 0, null)).rejects.toMatchObject(failure);
      await write(owner, fence);
      expect((await owner.messages.readPending(due())).requests).toHaveLength(2);
    } finally {
      copy.disconnect();
      for (const session of sessions.splice(0)) await session.close();
      await Promise.all([main.stop(), replica.stop()]);
    }
  });
});

/** Asks a server again and again until what it says of itself matches. */
async function until(server: Redis, section: string, expected: RegExp): Promise<void> {
  while (!expected.test(await server.info(section)));
}

async function offset(server: Redis): Promise<string> {
  return (
    /^master_repl_offset:(?<offset>\d+)/mu.exec(await server.info("replication"))?.groups?.["offset"] ?? ""
  );
}
