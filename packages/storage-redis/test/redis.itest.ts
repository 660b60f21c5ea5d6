// What only this backend does: its keys, its memory, its users, its scripts, and how it is found.

import { ConfigError, PersistenceError, type Fence, type OpenStorage } from "@holdfast/core/adapter";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { redisStorage, type RedisStorageOptions } from "../src/index.ts";
import { SCRIPTS } from "../src/script.ts";
import { keysOf, services } from "./backends.ts";
import { claim, due, entry, ORDER, ordinalsOf, request, succeeded } from "./work.ts";

const SLOTS = 16_384;

let redis: OwnRedis;
let admin: Redis;
let sessions: OpenStorage[];
let cases = 0;

beforeAll(async () => {
  redis = await startOwnRedis();
  admin = new Redis(redis.url);
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

async function open(options: RedisStorageOptions = {}): Promise<OpenStorage> {
  const where = options.client === undefined ? { url: redis.url } : {};
  const adapter = redisStorage({ ...where, prefix: prefix(), onWarning: () => undefined, ...options });
  const session = await adapter.open(services());
  sessions.push(session);
  return session;
}

function prefix(): string {
  return `case-${cases}`;
}

/** Reads what is pending, and returns how many elements its commands gave. */
const COUNTED_READ = `
local real, elements = redis, 0
local redis = setmetatable({ call = function(...)
  local answer = real.call(...)
  if type(answer) == 'table' then elements = elements + #answer end
  return answer
end }, { __index = real })
local function read() ${SCRIPTS.readPending.source} end
read()
return elements`;

/** What makes a request a dead letter. */
const NO = {
  error: { name: "Error", message: "", code: null, stack: null, data: null, cause: null, own: false },
  attempts: 1,
  deadSince: 1,
};

describe("the keys of a storage", () => {
  it("all have its prefix as their hash tag, so that a cluster keeps them on one server", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const [answered, dead] = [request({ deduplicationKey: "key" }), request()];
    for (const each of [answered, dead, request({ deliverAt: 9_000 })])
      await messages.saveRequest(each, 1, fence);
    await messages.saveChunk({ requestId: answered.requestId, index: 0, value: "1" }, fence);
    await messages.saveReply(succeeded(answered.requestId), fence, null);
    await messages.saveDeadLetter(dead.requestId, NO, fence);
    await workflows.appendJournal(
      ORDER,
      [{ ...entry(0), kind: "attributes", event: { type: "completed", value: '{"tenant":"a"}' } }],
      fence,
      null,
    );
    const keys = new Set(await admin.keys("*"));
    for (const key of await keysOf(admin, prefix())) keys.delete(key);
    expect([...keys].filter((key) => key.includes(prefix()))).toEqual([]);
  });

  it.each(["retention", "dropping"])(
    "are gone with what %s forgot: nothing is left behind for good but counters and epochs",
    async (how) => {
      const { messages, workflows } = await open();
      const fence = await claim(messages);
      const start = request({
        address: { entityType: ORDER.entityType, entityId: ORDER.executionId, shardId: "default:1" },
        tag: "execute",
        deduplicationKey: "execute",
      });
      const signal = { ...start, requestId: request().requestId, tag: "signal", deduplicationKey: "1" };
      for (const each of [start, signal]) await messages.saveRequest(each, 1, fence);
      await messages.saveChunk({ requestId: start.requestId, index: 0, value: "1" }, fence);
      const value = '{"tenant":"a","size":3}';
      await workflows.appendJournal(
        ORDER,
        [{ ...entry(0), kind: "attributes", event: { type: "completed", value } }],
        fence,
        null,
      );
      if (how === "retention") {
        await messages.saveReply(succeeded(start.requestId), fence, null);
        const query = {
          entityType: ORDER.entityType,
          answeredBefore: 9e15,
          limit: 10,
          executionTag: "execute",
        };
        expect(await messages.forgetAnswered(query)).toBe(1);
      } else {
        await messages.saveDeadLetter(start.requestId, NO, fence);
        expect(await messages.dropDeadLetter(start.requestId, "execute")).toBe(true);
      }
      const keys: string[] = [];
      for (const key of await keysOf(admin, prefix())) if ((await admin.ttl(key)) < 0) keys.push(key);
      expect(keys.toSorted()).toEqual([`{${prefix()}}:epochs`, `{${prefix()}}:meta`]);
    },
  );

  it("are those of one prefix: another one's shards, requests and wake-ups are its own", async () => {
    const [mine, other] = [await open(), await open({ prefix: `${prefix()}-other` })];
    await mine.messages.saveRequest(request(), 0, null);
    expect((await other.messages.readPending(due())).requests).toEqual([]);
    expect(await other.messages.claimShards(["default:1"])).toEqual(
      await mine.messages.claimShards(["default:1"]),
    );
  });
});

describe("a session", () => {
  it("uses the settings of a client that it was given, and none of its connections", async () => {
    const client = new Redis(redis.url, { db: 3, lazyConnect: true });
    const { messages } = await open({ client });
    await messages.saveRequest(request(), 0, await claim(messages));
    expect(client.status).toBe("wait");
    const inside = new Redis(redis.url, { db: 3 });
    expect(await inside.exists(`{${prefix()}}:epochs`)).toBe(1);
    inside.disconnect();
  });

  it("takes no setting of a client that would change what its commands do", async () => {
    const odd = { keyPrefix: "app:", commandTimeout: 1, monitor: true, readOnly: true, stringNumbers: true };
    const client = new Redis(redis.url, { ...odd, lazyConnect: true });
    const { messages } = await open({ client });
    const fence = await claim(messages);
    await admin.call("CLIENT", "PAUSE", "100", "WRITE");
    await messages.saveRequest(request(), 0, fence);
    expect((await messages.readPending(due())).requests).toHaveLength(1);
    expect(await keysOf(admin, prefix())).toContain(`{${prefix()}}:epochs`);
  });

  it("goes on when the server has lost its scripts, and says of what met that that it was not written", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    await admin.script("FLUSH");
    const failure = await messages.saveRequest(request(), 0, fence).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
    expect((await messages.readPending(due())).requests).toHaveLength(1);
  });

  it("sends what was called in one turn in one piece, and in the order of calls", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    const reads = async (): Promise<number> =>
      Number(/^total_reads_processed:(?<count>\d+)/mu.exec(await admin.info("stats"))?.groups?.["count"]);
    const before = await reads();
    await Promise.all(Array.from({ length: 200 }, () => messages.saveRequest(request(), 1, fence)));
    // Two of the reads are this test's own; a message may come in a few pieces, and never in as many as it has calls.
    expect((await reads()) - before).toBeLessThan(50);
  });

  it("is refused by a server that refuses the user, without showing the password", async () => {
    const url = redis.url.replace("redis://", "redis://nobody:secret@");
    const failure = await open({ url }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(PersistenceError);
    expect(String(failure)).not.toContain("secret");
    expect(failure).toMatchObject({
      outcome: "not-written",
      detail: expect.stringMatching(/WRONGPASS/u) as unknown,
    });
  });

  it("is refused by data that a later release keeps in another way, and touches none of them", async () => {
    const meta = `{${prefix()}}:meta`;
    await admin.hset(meta, "works_from", "2");
    const error: unknown = await open().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toBe(
      `Option "prefix" is "${prefix()}", but it takes one whose data a release of this age can use, and a later release has ` +
        "changed the data there (they need version 2, this is 1). Deploy a later release of @holdfast/storage-redis.",
    );
    expect(await admin.hgetall(meta)).toEqual({ works_from: "2" });
    // One that this release can use as well.
    await admin.hset(meta, "works_from", "1");
    await open();
  });

  it("works for a user who may touch its keys and its channel alone", async () => {
    const user = `user-${cases}`;
    const may = [`~{${prefix()}}:*`, `&{${prefix()}}:pending`, "+@all", "-@dangerous", "+info"];
    await admin.call("ACL", "SETUSER", user, "on", ">word", ...may);
    const said: string[] = [];
    const { messages, workflows } = await open({
      url: redis.url.replace("redis://", `redis://${user}:word@`),
      onWarning: (message) => said.push(message),
    });
    const fence = await claim(messages);
    const heard = new Promise<void>((resolve) => {
      void messages.watchPending?.(() => resolve()).then(() => openedBy(redis.url));
    });
    const openedBy = async (url: string): Promise<void> => {
      await (await open({ url })).messages.saveRequest(request(), 0, null);
    };
    await heard;
    await workflows.appendJournal(ORDER, [entry(0)], fence, null);
    expect((await messages.readPending(due())).requests).toHaveLength(1);
    // It may not read the settings, but what the server says of itself.
    expect(said).toEqual([expect.stringContaining("appendonly yes")]);
  });

  it("is written to by a user without the channel, who hears no wake-ups", async () => {
    const user = `user-${cases}`;
    await admin.call("ACL", "SETUSER", user, "on", ">word", `~{${prefix()}}:*`, "resetchannels", "+@all");
    const { messages } = await open({ url: redis.url.replace("redis://", `redis://${user}:word@`) });
    await messages.saveRequest(request(), 0, null);
    expect((await messages.readPending(due())).requests).toHaveLength(1);
    await expect(messages.watchPending?.(() => undefined)).rejects.toBeInstanceOf(PersistenceError);
  });

  it.each(["zadd", "zrevrangebylex"])(
    "is refused to a user who may not run %s, one command of the scripts: none stops half-way",
    async (command) => {
      const user = `user-${cases}`;
      const may = [`~{${prefix()}}:*`, "+@all", `-${command}`];
      await admin.call("ACL", "SETUSER", user, "on", ">word", ...may);
      const opening = open({ url: redis.url.replace("redis://", `redis://${user}:word@`) });
      await expect(opening).rejects.toMatchObject({
        code: "PERSISTENCE",
        outcome: "not-written",
        detail: expect.stringContaining(`the user needs ${command.toUpperCase()} `) as unknown,
      });
      expect(await keysOf(admin, prefix())).toEqual([]);
    },
  );

  it("takes no text that would come back as another one", async () => {
    const { messages } = await open();
    const odd = request({ deduplicationKey: "half \ud800" });
    await expect(messages.saveRequest(odd, 0, null)).rejects.toMatchObject({ code: "SERIALIZATION" });
  });
});

describe("a server whose settings endanger what is stored", () => {
  afterEach(async () => {
    await admin.config("SET", "maxmemory", "0");
    await admin.config("SET", "maxmemory-policy", "noeviction");
  });

  const warnings = async (options: RedisStorageOptions = {}): Promise<string[]> => {
    const said: string[] = [];
    await open({ ...options, onWarning: (message) => said.push(message) });
    return said;
  };

  it("is warned of when it keeps no append-only file", async () => {
    expect(await warnings()).toEqual([expect.stringContaining("appendonly yes")]);
  });

  it("leaves no session behind where the warning itself fails", async () => {
    const failure = new Error("nobody listens");
    const opening = open({
      onWarning() {
        throw failure;
      },
    });
    await expect(opening).rejects.toBe(failure);
    while (/ name=holdfast /u.test(String(await admin.client("LIST"))));
  });

  it("is warned of when it may drop data", async () => {
    await admin.config("SET", "maxmemory", "1gb");
    expect(await warnings()).toHaveLength(1);
    await admin.config("SET", "maxmemory-policy", "allkeys-lru");
    expect(await warnings()).toContainEqual(expect.stringContaining("maxmemory-policy is allkeys-lru"));
    // Managed ones often refuse CONFIG.
    const user = `user-${cases}`;
    await admin.call("ACL", "SETUSER", user, "on", ">word", "~*", "&*", "+@all", "-config");
    const url = redis.url.replace("redis://", `redis://${user}:word@`);
    expect(await warnings({ url })).toContainEqual(
      expect.stringContaining("maxmemory-policy is allkeys-lru"),
    );
  });

  it("refuses writes when its memory is full, whole, and takes them again later", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    await admin.config("SET", "maxmemory", "1");
    const failure = { code: "PERSISTENCE", outcome: "not-written" };
    await expect(messages.saveRequest(request(), 0, fence)).rejects.toMatchObject(failure);
    await expect(workflows.appendJournal(ORDER, [entry(0)], fence, null)).rejects.toMatchObject(failure);
    expect(await ordinalsOf(workflows)).toEqual([]);
    const another = await open();
    expect(await ordinalsOf(another.workflows)).toEqual([]);
    await admin.config("SET", "maxmemory", "0");
    await workflows.appendJournal(ORDER, [entry(0)], fence, null);
    expect((await messages.readPending(due())).requests).toEqual([]);
  });

  it("lets go of what it has when its memory is full, so that there is room again", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    const [running, dead, waiting] = [request(), request(), request()];
    const answered = Array.from({ length: 50 }, () =>
      request({ payload: JSON.stringify("a".repeat(20_000)) }),
    );
    for (const each of [running, dead, waiting, ...answered]) await messages.saveRequest(each, 1, fence);
    for (const { requestId } of answered) await messages.saveReply(succeeded(requestId), fence, null);
    await messages.saveDeadLetter(dead.requestId, NO, fence);
    const { requestId } = waiting;
    const used = Number(/used_memory:(\d+)/u.exec(await admin.info("memory"))?.[1]);
    await admin.config("SET", "maxmemory", String(used - 100_000));
    await expect(messages.saveRequest(request(), 0, fence)).rejects.toMatchObject({
      code: "PERSISTENCE",
      outcome: "not-written",
    });
    // Who joins now, and who takes the shard over, can end what was begun.
    const next = await open();
    const taken = await claim(next.messages);
    await next.messages.saveReply(succeeded(running.requestId), taken, null);
    expect(await next.messages.lookUp([running.requestId])).toMatchObject([{ state: "answered" }]);
    await next.messages.recordAttempt(requestId, 1, taken);
    await expect(next.messages.recordAttempt(requestId, 2, taken)).rejects.toMatchObject({
      outcome: "not-written",
      message: expect.stringContaining("OOM"),
    });
    await next.messages.reschedule(requestId, { deliverAt: null, attempts: 2 }, taken);
    expect(await next.messages.dropDeadLetter(dead.requestId, null)).toBe(true);
    const { entityType } = running.address;
    const query = { entityType, answeredBefore: Number.MAX_SAFE_INTEGER, limit: 100 };
    expect(await next.messages.forgetAnswered(query)).toBe(51);
    await expect(next.messages.saveRequest(request(), 0, taken)).resolves.toMatchObject({
      outcome: "accepted",
    });
  });
});

describe("a server that is full when it begins anew", () => {
  it("is entered, read, claimed and emptied, and then takes requests again", async () => {
    const full = await startOwnRedis({ extra: ["--appendonly", "yes", "--maxmemory", "6mb"] });
    const settings = new Redis(full.url);
    settings.on("error", () => undefined);
    try {
      const { url } = full;
      const before = await open({ url });
      const fence = await claim(before.messages);
      await settings.config("SET", "maxmemory", "0");
      const streamed = request();
      await before.messages.saveRequest(streamed, 0, fence);
      await before.messages.saveChunk({ requestId: streamed.requestId, index: 0, value: "1" }, fence);
      await before.workflows.appendJournal(ORDER, [entry(0), entry(1)], fence, null);
      const payload = JSON.stringify("a".repeat(100_000));
      const large = Array.from({ length: 100 }, () => request({ payload }));
      for (const each of large) await before.messages.saveRequest(each, 0, fence);
      await full.control.restart();

      const { messages, workflows } = await open({ url });
      expect((await messages.readPending(due())).requests.length).toBeGreaterThan(1);
      const taken = await claim(messages);
      const refused = {
        code: "PERSISTENCE",
        outcome: "not-written",
        message: expect.stringContaining("OOM"),
      };
      await expect(messages.saveRequest(request(), 0, taken)).rejects.toMatchObject(refused);
      await expect(workflows.appendJournal(ORDER, [entry(2)], taken, null)).rejects.toMatchObject(refused);
      await messages.acknowledgeChunks(streamed.requestId, 1);
      await workflows.trimExecution(ORDER, { belowOrdinal: 1, requestIds: [], answeredBefore: 0 }, taken);
      expect(await ordinalsOf(workflows)).toEqual([1]);
      for (const { requestId } of large) await messages.saveReply(succeeded(requestId), taken, null);
      const { entityType } = streamed.address;
      expect(await messages.forgetAnswered({ entityType, answeredBefore: 9e15, limit: 200 })).toBe(100);
      await expect(messages.saveRequest(request(), 0, taken)).resolves.toMatchObject({ outcome: "accepted" });
    } finally {
      settings.disconnect();
      for (const session of sessions.splice(0)) await session.close();
      await full.stop();
    }
  });
});

describe("what is pending", () => {
  it("is read in shorter pages where it is large", async () => {
    const { messages } = await open();
    const payload = JSON.stringify("a".repeat(3 * 1024 * 1024));
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      const each = request({ payload });
      ids.push(each.requestId);
      await messages.saveRequest(each, 0, null);
    }
    const first = await messages.readPending(due());
    const excludingSequences = first.requests.map(({ sequence }) => sequence);
    const second = await messages.readPending(due({ excludingSequences }));
    // Three of them are longer than a page.
    expect([first, second].map(({ requests, more }) => [requests.length, more])).toEqual([
      [3, true],
      [2, false],
    ]);
    const read = [...first.requests, ...second.requests];
    expect(read.map(({ envelope }) => envelope.requestId)).toEqual(ids);
  });

  it("is read in order where more has become due than one script moves", async () => {
    const { messages } = await open();
    const requests = Array.from({ length: 700 }, (_, index) =>
      request({
        deliverAt: 900 - index,
        address: { entityType: "Counter", entityId: String(index % 7), shardId: `default:${index % 2}` },
      }),
    );
    await Promise.all(requests.map((each) => messages.saveRequest(each, 0, null)));
    const shardIds = ["default:0", "default:1"] as const;
    const page = await messages.readPending(due({ shardIds, limit: 650 }));
    expect(page.requests.map(({ envelope }) => envelope.requestId)).toEqual(
      requests.slice(0, 650).map(({ requestId }) => requestId),
    );
    expect([page.more, page.nextDueAt]).toEqual([true, null]);
    // A clock that is behind.
    const early = await messages.readPending(due({ shardIds, now: 210 }));
    expect(early.requests.map(({ envelope }) => envelope.deliverAt)).toEqual(
      Array.from({ length: 10 }, (_, index) => 210 - index),
    );
    expect(early.nextDueAt).toBe(211);
  });

  it.each([1, 10, 300])("is read in order from many entities of many shards, %i at a time", async (limit) => {
    const { messages } = await open();
    const shardIds = Array.from({ length: 12 }, (_, index) => `default:${index}` as const);
    const requests = Array.from({ length: 1_000 }, (_, index) => {
      // Every entity comes again, and no shard's requests are all before another's.
      const [shard, entity] = [(index * 7) % 12, (index * 11) % 40];
      const shardId = shardIds[shard] ?? "default:0";
      return request({ address: { entityType: "Counter", entityId: `${shard}-${entity}`, shardId } });
    });
    const saved = await Promise.all(requests.map((each) => messages.saveRequest(each, 0, null)));
    const excludingSequences: number[] = [];
    for (let from = 0; from < 3 * limit; from += limit) {
      const page = await messages.readPending(
        due({ shardIds: shardIds.toReversed(), limit, excludingSequences }),
      );
      expect(page.requests.map(({ envelope }) => envelope.requestId)).toEqual(
        requests.slice(from, from + limit).map(({ requestId }) => requestId),
      );
      expect(page.more).toBe(true);
      excludingSequences.push(...saved.slice(from, from + limit).map(({ sequence }) => sequence));
    }
  });

  it("is read as far as a page needs it, however much of it there is", async () => {
    const shardIds = Array.from({ length: 20 }, (_, index) => `default:${index}` as const);
    const session = await open();
    /** How much Redis hands to the script for one page of as many requests to each of 200 entities. */
    const lookedAt = async (each: number): Promise<number> => {
      const requests = Array.from({ length: each * 200 }, (_, index) => {
        const shardId = shardIds[index % 20] ?? "default:0";
        return request({ address: { entityType: "Counter", entityId: String(index % 200), shardId } });
      });
      await Promise.all(requests.map((saved) => session.messages.saveRequest(saved, 0, null)));
      const args = ["1000", "10", String(shardIds.length), ...shardIds, "0", "0"];
      return Number(await admin.eval(COUNTED_READ, 1, `{${prefix()}}:`, ...args));
    };
    const few = await lookedAt(2);
    expect(await lookedAt(58)).toBeLessThan(4 * few);
  });

  it("passes over a full entity's long queue, and over what the caller holds", async () => {
    const { messages } = await open();
    const of = (entityId: string): Parameters<typeof messages.saveRequest>[0] =>
      request({ address: { entityType: "Counter", entityId, shardId: "default:1" } });
    const full = Array.from({ length: 500 }, () => of("full"));
    const held = Array.from({ length: 300 }, () => of("held"));
    const rest = ["x", "held", "y", "held"].map(of);
    const saved = await Promise.all(
      [...full, ...held, ...rest].map((each) => messages.saveRequest(each, 0, null)),
    );
    const page = await messages.readPending(
      due({
        limit: 3,
        excludingEntities: [{ entityType: "Counter", entityId: "full", shardId: "default:1" }],
        excludingSequences: saved.slice(500, 800).map(({ sequence }) => sequence),
      }),
    );
    expect(page.requests.map(({ envelope }) => envelope.requestId)).toEqual(
      rest.slice(0, 3).map(({ requestId }) => requestId),
    );
    expect(page.more).toBe(true);
  });
});

describe("retention", () => {
  const query = { entityType: ORDER.entityType, answeredBefore: 9e15, limit: 5_000 };

  /** Saves requests of this tag and answers them. */
  async function answer({ messages }: OpenStorage, fence: Fence, tag: string, count: number): Promise<void> {
    const requests = Array.from({ length: count }, (_, index) =>
      request({
        address: { entityType: ORDER.entityType, entityId: `order-${index}`, shardId: "default:1" },
        tag,
        deduplicationKey: tag === "execute" ? tag : null,
      }),
    );
    await Promise.all(requests.map((each) => messages.saveRequest(each, 0, fence)));
    await Promise.all(requests.map(({ requestId }) => messages.saveReply(succeeded(requestId), fence, null)));
  }

  it("forgets up to its limit where that is more than one script forgets", async () => {
    const session = await open();
    await answer(session, await claim(session.messages), "add", 2_300);
    await admin.config("RESETSTAT");
    expect(await session.messages.forgetAnswered({ ...query, limit: 2_100 })).toBe(2_100);
    expect(await admin.info("commandstats")).toMatch(/^cmdstat_evalsha:calls=3,/mu);
    expect(await session.messages.forgetAnswered(query)).toBe(200);
    expect(await session.messages.forgetAnswered(query)).toBe(0);
  });

  it("takes whole executions with thousands of requests a few at a time, and each counts as one", async () => {
    const session = await open();
    const fence = await claim(session.messages);
    await answer(session, fence, "execute", 3);
    for (let round = 0; round < 700; round += 100)
      await Promise.all(Array.from({ length: 100 }, () => answer(session, fence, "signal", 3)));
    await admin.config("RESETSTAT");
    expect(await session.messages.forgetAnswered({ ...query, executionTag: "execute" })).toBe(3);
    expect(await admin.info("commandstats")).toMatch(/^cmdstat_evalsha:calls=2,/mu);
    expect(await session.messages.forgetAnswered(query)).toBe(0);
  });

  it("of executions looks at no other request of theirs", async () => {
    const session = await open();
    const fence = await claim(session.messages);
    await answer(session, fence, "signal", 3_000);
    await admin.config("RESETSTAT");
    expect(await session.messages.forgetAnswered({ ...query, executionTag: "execute" })).toBe(0);
    const stats = await admin.info("commandstats");
    // Those around the script: of its session, and of the server's data.
    const gets = Array.from(stats.matchAll(/^cmdstat_hm?get:calls=(\d+),/gmu), ([, count]) => Number(count));
    expect(gets.reduce((sum, count) => sum + count, 0)).toBeLessThan(5);
    expect(await session.messages.forgetAnswered(query)).toBe(3_000);
  });
});

describe("a listing of more executions than one script looks at", () => {
  const COUNT = 1_200;
  const query = {
    entityType: ORDER.entityType,
    tag: "execute",
    executionId: null,
    status: null,
    startedFrom: null,
    startedBefore: null,
    attributes: {},
    now: 1_000,
    limit: 2,
    after: null,
  } as const;

  /** Starts executions, each with its index as an attribute and one that all share. Returns their ids. */
  async function start({ messages, workflows }: OpenStorage, fence: Fence): Promise<string[]> {
    const requests = Array.from({ length: COUNT }, (_, index) =>
      request({
        requestId: index.toString(16).padStart(32, "0"),
        address: { entityType: ORDER.entityType, entityId: `order-${index}`, shardId: "default:1" },
        tag: "execute",
        deduplicationKey: "execute",
      }),
    );
    await Promise.all(requests.map((each) => messages.saveRequest(each, 0, fence)));
    const appends = requests.map(({ address }, index) => {
      const value = JSON.stringify({ tenant: "a", half: index % 2, tenth: index % 10 });
      const attributes = { ...entry(0), kind: "attributes", event: { type: "completed", value } } as const;
      const execution = { entityType: ORDER.entityType, executionId: address.entityId };
      return workflows.appendJournal(execution, [attributes], fence, null);
    });
    await Promise.all(appends);
    return requests.map(({ requestId }) => requestId);
  }

  it("finds the few that match, through all pages", async () => {
    const session = await open();
    const fence = await claim(session.messages);
    const ids = await start(session, fence);
    const ended = [3, 700, 1_199].map((index) => ids[index] ?? "");
    for (const requestId of ended) await session.messages.saveReply(succeeded(requestId), fence, null);
    const ofStatus = { ...query, status: "completed" } as const;
    const { workflows } = session;
    const first = await workflows.listExecutions(ofStatus);
    const rest = await workflows.listExecutions({
      ...ofStatus,
      after: first[1]?.envelope.requestId ?? "",
    });
    expect([...first, ...rest].map(({ envelope }) => envelope.requestId)).toEqual(ended.toReversed());
  });

  it.each([
    ["all have it", { tenant: "a" }, () => true],
    ["more have it than one script looks at", { half: 1 }, (index: number) => index % 2 === 1],
    ["one of them is of few", { tenant: "a", tenth: 3 }, (index: number) => index % 10 === 3],
  ])("finds those with an attribute where %s, and looks at a part at a time", async (_, attributes, has) => {
    const session = await open();
    const ids = await start(session, await claim(session.messages));
    const expected = ids.filter((__, index) => has(index)).toReversed();
    const listed: string[] = [];
    await admin.config("RESETSTAT");
    for (;;) {
      const after = listed.at(-1) ?? null;
      const page = await session.workflows.listExecutions({ ...query, attributes, limit: 250, after });
      if (page.length === 0) break;
      listed.push(...page.map(({ envelope }) => envelope.requestId));
    }
    expect(listed).toEqual(expected);
    // Its answer would be all of them, for one page.
    const isIntersected = (await admin.info("commandstats")).includes("cmdstat_sinter:");
    expect(isIntersected).toBe("tenth" in attributes);
  });
});

describe("a cluster of servers", () => {
  it("is found by any of them: the storage goes to the one that has its keys", async () => {
    const [owner, other] = [
      await startOwnRedis({ isCluster: true }),
      await startOwnRedis({ isCluster: true }),
    ];
    const ask = new Redis(other.url);
    const busPort = new Redis(owner.url);
    try {
      await ask.cluster("DELSLOTSRANGE" as never, 0, SLOTS - 1);
      const [, port] = (await busPort.config("GET", "cluster-port")) as [string, string];
      await ask.call("CLUSTER", "MEET", "127.0.0.1", String(owner.port), port);
      for (;;) {
        if (/cluster_state:ok/u.test(await ask.cluster("INFO"))) break;
      }
      const { messages } = await open({ url: other.url });
      await messages.saveRequest(request(), 0, await claim(messages));
      expect(await keysOf(busPort, prefix())).not.toEqual([]);
    } finally {
      for (const session of sessions.splice(0)) await session.close();
      ask.disconnect();
      busPort.disconnect();
      await Promise.all([owner.stop(), other.stop()]);
    }
  });
});

describe("a read of what is pending", () => {
  it("may leave out more requests than arguments fit on a stack", async () => {
    const { messages } = await open();
    await claim(messages);
    await messages.saveRequest(request(), 0, null);
    const excludingSequences = Array.from({ length: 130_000 }, (_, index) => 1_000 + index);
    const { requests } = await messages.readPending(due({ excludingSequences }));
    expect(requests).toHaveLength(1);
  });
});
