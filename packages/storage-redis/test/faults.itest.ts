// What a Redis that restarts, stops or loses connections does to those who write to it. INV-1 and what is forgotten are in
// lost-writes.itest.ts.

import { FencedError, type OpenStorage } from "@holdfast/core/adapter";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { fakeSentinel } from "../../../test/services/fake-redis.ts";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { redisStorage, type RedisStorageOptions } from "../src/index.ts";
import { services } from "./backends.ts";
import { claim, due, entry, ORDER, ordinalsOf, request, succeeded } from "./work.ts";

const CLOSED = "this session of the storage was closed";

let redis: OwnRedis;
let sessions: OpenStorage[];
let cases = 0;

beforeAll(async () => {
  redis = await startOwnRedis({ extra: ["--appendonly", "yes", "--appendfsync", "always"] });
});
afterAll(() => redis.stop());
beforeEach(() => {
  sessions = [];
  cases += 1;
});
afterEach(async () => {
  for (const session of sessions) await session.close();
});

/** One more session of this case. */
async function open(options: RedisStorageOptions = {}): Promise<OpenStorage> {
  const adapter = redisStorage({
    url: redis.url,
    prefix: `case-${cases}`,
    onWarning: () => undefined,
    ...options,
  });
  const session = await adapter.open(services());
  sessions.push(session);
  return session;
}

describe("a Redis that is killed and comes back", () => {
  it("has kept what it was given, and sessions go on by themselves", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const [answered, pending] = [request({ deduplicationKey: "key" }), request({ deliverAt: 500 })];
    await messages.saveRequest(answered, 1, fence);
    await messages.saveRequest(pending, 0, null);
    await messages.saveReply(succeeded(answered.requestId), fence, null);
    await workflows.appendJournal(ORDER, [entry(0), entry(1)], fence, null);
    await redis.control.restart();
    expect(await messages.lookUp([answered.requestId])).toMatchObject([{ state: "answered" }]);
    expect((await messages.readPending(due())).requests).toMatchObject([{ envelope: pending }]);
    expect(await ordinalsOf(workflows)).toEqual([0, 1]);
    const again = request({ deduplicationKey: "key" });
    expect(await messages.saveRequest(again, 0, null)).toMatchObject({ outcome: "duplicate" });
  });

  it("leaves every owner its shards where it has forgotten nothing", async () => {
    const [first, second] = [await open(), await open()];
    const mine = await claim(first.messages, "default:1");
    const theirs = await claim(second.messages, "default:2");
    for (let restart = 0; restart < 2; restart += 1) {
      await redis.control.restart();
      for (const [{ messages }, fence] of [
        [first, mine],
        [second, theirs],
      ] as const) {
        expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
      }
    }
    // Epochs go on above whatever may have been given out and forgotten.
    const after = await claim(first.messages);
    expect(after.epoch).toBeGreaterThan(1_000_000_000_000);
    await expect(first.messages.saveRequest(request(), 0, mine)).rejects.toBeInstanceOf(FencedError);
  });

  it("has an owner that missed one of its restarts claim again: nobody knows what it lost", async () => {
    const [first, second] = [await open({ commandTimeout: 100 }), await open()];
    const fence = await claim(first.messages);
    await using proxy = await CuttingProxy.start(redis.url);
    const late = await open({ url: proxy.url, commandTimeout: 300 });
    const lateFence = await claim(late.messages, "default:2");
    proxy.mode = "black hole";
    for (let restart = 0; restart < 2; restart += 1) {
      await redis.control.restart();
      await expectAnswer(() => second.messages.lookUp(["a"]));
      await expectAnswer(() => first.messages.lookUp(["a"]));
    }
    proxy.mode = "open";
    await expectAnswer(() => late.messages.lookUp(["a"]));
    await expect(late.messages.saveRequest(request(), 0, lateFence)).rejects.toBeInstanceOf(FencedError);
    expect(await first.messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
  });

  it("answers what was called while it was away, once it is back", async () => {
    const { messages } = await open({ commandTimeout: "60s" });
    await redis.control.kill("SIGKILL");
    // Sent before the loss was noticed, or after it: in either case the caller learns what became of it, perhaps at once.
    const saving = messages.saveRequest(request(), 0, null).then(
      ({ outcome: is }) => is,
      (error: unknown) => error,
    );
    await redis.control.start();
    const outcome = await saving;
    if (outcome !== "accepted") expect(outcome).toMatchObject({ code: "PERSISTENCE" });
    expect(await messages.saveRequest(request(), 0, null)).toMatchObject({ outcome: "accepted" });
  });

  it("refuses in time what is called while it stays away, and says that nothing was written", async () => {
    const { messages, workflows } = await open({ commandTimeout: 200 });
    const fence = await claim(messages);
    await redis.control.kill("SIGKILL");
    try {
      await messages.lookUp(["gone"]).catch(() => undefined);
      const failure = { code: "PERSISTENCE", outcome: "not-written" };
      await expect(messages.saveRequest(request(), 0, null)).rejects.toMatchObject(failure);
      await expect(messages.readPending(due())).rejects.toMatchObject(failure);
      await expect(workflows.appendJournal(ORDER, [entry(0)], fence, null)).rejects.toMatchObject(failure);
      await expect(open()).rejects.toMatchObject(failure);
    } finally {
      await redis.control.start();
    }
    expect(await (await open()).messages.lookUp(["gone"])).toEqual([]);
  });
});

describe("a Redis that stands still", () => {
  it("ends a write as unknown in time; what the next read finds of it is final", async () => {
    const { messages, workflows } = await open({ commandTimeout: 200 });
    const fence = await claim(messages);
    await redis.control.kill("SIGSTOP");
    try {
      const appending = workflows.appendJournal(ORDER, [entry(0)], fence, null);
      await expect(appending).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
    } finally {
      await redis.control.kill("SIGCONT");
    }
    const found = await ordinalsOf(workflows);
    await workflows.appendJournal(ORDER, [entry(1)], fence, null);
    expect(await ordinalsOf(await open().then((other) => other.workflows))).toEqual([...found, 1]);
  });

  it("cannot be opened, and that is known in time", async () => {
    await redis.control.kill("SIGSTOP");
    try {
      const opening = open({ commandTimeout: 200 });
      await expect(opening).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    } finally {
      await redis.control.kill("SIGCONT");
    }
  });
});

describe("a Redis that does not tell its settings", () => {
  it("is opened in time all the same: nothing is known to be dangerous about it", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    proxy.blackHoleAt = "maxmemory-policy";
    const said: string[] = [];
    const options = {
      url: proxy.url,
      commandTimeout: 200,
      onWarning: (text: string) => void said.push(text),
    };
    const { messages } = await open(options);
    expect(said).toEqual([]);
    proxy.blackHoleAt = null;
    proxy.mode = "open";
    expect(await messages.lookUp(["a"])).toEqual([]);
  });
});

describe("a connection that is cut in the middle of a write", () => {
  it.each(["all", "none"] as const)(
    "leaves the outcome unknown, reads back what it was, and takes the same request again: %s of it arrived",
    async (reaches) => {
      await using proxy = await CuttingProxy.start(redis.url);
      const { messages } = await open({ url: proxy.url });
      const fence = await claim(messages);
      const envelope = request();
      proxy.cutAt({ needle: envelope.requestId, reaches });
      const saving = messages.saveRequest(envelope, 1, fence);
      await expect(saving).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
      // The server may see the end of that connection before what came over it.
      const states = await messages.lookUp([envelope.requestId]);
      const again = await messages.saveRequest(envelope, 1, fence);
      if (states.length === 1) expect(again.outcome).toBe("duplicate");
      if (reaches === "none") expect([states, again.outcome]).toEqual([[], "accepted"]);
      expect((await messages.readPending(due())).requests).toHaveLength(1);
    },
  );

  it("lets nothing pass that arrives once the session is back: what was read is final", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages, workflows } = await open({ url: proxy.url });
    const fence = await claim(messages);
    await workflows.appendJournal(ORDER, [entry(0)], fence, null);
    proxy.cutAt({ needle: "step 1", reaches: "none", isTold: false });
    const appending = workflows.appendJournal(ORDER, [entry(1)], fence, null);
    await expect(appending).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
    expect(await ordinalsOf(workflows)).toEqual([0]);
    await proxy.deliverLate();
    expect(await ordinalsOf(workflows)).toEqual([0]);
    // The shard is this session's as before.
    await workflows.appendJournal(ORDER, [entry(2)], fence, null);
    expect(await ordinalsOf(workflows)).toEqual([0, 2]);
  });

  it("lets nothing pass late that was written on nobody's behalf either: what was looked up is final", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages } = await open({ url: proxy.url });
    const envelope = request();
    proxy.cutAt({ needle: envelope.requestId, reaches: "none", isTold: false });
    const saving = messages.saveRequest(envelope, 0, null);
    await expect(saving).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
    expect(await messages.lookUp([envelope.requestId])).toEqual([]);
    await proxy.deliverLate();
    expect(await messages.lookUp([envelope.requestId])).toEqual([]);
    expect(await messages.saveRequest(envelope, 0, null)).toMatchObject({ outcome: "accepted" });
  });

  it("lets no claim pass late, which would outdo the one that was made since", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages } = await open({ url: proxy.url });
    proxy.cutAt({ needle: "default:1", reaches: "none", isTold: false });
    await expect(claim(messages)).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
    const fence = await claim(messages);
    await proxy.deliverLate();
    expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
  });

  it("fails each append to a journal that was called before the failure was told: no gap", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages, workflows } = await open({ url: proxy.url });
    const fence = await claim(messages);
    proxy.cutAt({ needle: "step 3", reaches: "none" });
    const appends: Promise<void>[] = [];
    const told = new AbortController();
    for (let ordinal = 0; !told.signal.aborted; ordinal += 1) {
      const appending = workflows.appendJournal(ORDER, [entry(ordinal)], fence, null);
      appends.push(appending);
      appending.catch(() => told.abort());
      await new Promise(setImmediate);
    }
    const settled = await Promise.allSettled(appends);
    const passed = settled.flatMap(({ status }, ordinal) => (status === "fulfilled" ? [ordinal] : []));
    const there = await ordinalsOf(workflows);
    expect(there).toEqual(there.map((_, index) => index));
    expect(there).toEqual(expect.arrayContaining(passed));
    expect(there).not.toContain(3);
  });

  it("is noticed in a black hole, too, and then there is another one", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages, workflows } = await open({ url: proxy.url, commandTimeout: 300 });
    const fence = await claim(messages);
    proxy.mode = "black hole";
    const calls = await Promise.allSettled([
      messages.saveRequest(request(), 0, fence),
      messages.lookUp(["a"]),
      workflows.appendJournal(ORDER, [entry(0)], fence, null),
      messages.claimShards(["default:2"]),
    ]);
    expect(calls.map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => "rejected"));
    proxy.mode = "open";
    expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
  });
});

describe("wake-ups", () => {
  it("come again after a restart, and all shards are looked at then", async () => {
    const { messages } = await open();
    await claim(messages);
    let heard = (): void => undefined;
    const end = await messages.watchPending?.((shardIds) => {
      if (shardIds.includes("default:1")) heard();
    });
    const woken = (): Promise<void> =>
      new Promise<void>((resolve) => {
        heard = resolve;
      });
    const after = woken();
    await redis.control.restart();
    await after;
    const saved = woken();
    await (await open()).messages.saveRequest(request(), 0, null);
    await saved;
    await end?.();
  });

  it("come again although a new connection is taken, and nobody answers on it", async () => {
    await using proxy = await CuttingProxy.start(redis.url);
    const { messages } = await open({ url: proxy.url, commandTimeout: 300 });
    await claim(messages);
    let heard = 0;
    await messages.watchPending?.(() => {
      heard += 1;
    });
    proxy.blackHoleAt = "subscribe";
    const admin = new Redis(redis.url);
    await admin.call("CLIENT", "KILL", "TYPE", "pubsub");
    admin.disconnect();
    await expect.poll(() => proxy.mode, { timeout: 10_000 }).toBe("black hole");
    proxy.blackHoleAt = null;
    proxy.mode = "open";
    await expect.poll(() => heard, { timeout: 10_000 }).toBeGreaterThan(0);
  });

  it("go on after a lost connection although the client gives Sentinels up after one round", async () => {
    const sentinels = [{ host: "127.0.0.1", port: await fakeSentinel(redis.port) }];
    const client = new Redis({
      sentinels,
      name: "main",
      // As those who give up after one round are told to, and its type does not say.
      ...({ sentinelRetryStrategy: null } as object),
      lazyConnect: true,
    });
    const adapter = redisStorage({ client, prefix: `case-${cases}`, onWarning: () => undefined });
    const session = await adapter.open(services());
    sessions.push(session);
    await claim(session.messages);
    const woken = new Promise<void>((resolve) => {
      void session.messages
        .watchPending?.(() => resolve())
        .then(async () => {
          const admin = new Redis(redis.url);
          await admin.call("CLIENT", "KILL", "TYPE", "pubsub");
          admin.disconnect();
        });
    });
    await woken;
  });

  it("are not left behind by a session that closes while a watch begins, however far it has got", async () => {
    const admin = new Redis(redis.url);
    for (let turns = 0; turns < 30; turns += 1) {
      const { messages, close } = await open();
      const watching = messages.watchPending?.(() => undefined).catch((error: unknown) => error);
      for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
      await close();
      const outcome = await watching;
      if (typeof outcome !== "function")
        expect(outcome).toMatchObject({ outcome: "not-written", detail: CLOSED });
      await expect(messages.watchPending?.(() => undefined)).rejects.toMatchObject({ detail: CLOSED });
    }
    while (/ name=holdfast /u.test(String(await admin.client("LIST"))));
    admin.disconnect();
  });
});

/** Repeats a read until it is answered. */
async function expectAnswer(read: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await read();
      return;
    } catch (error) {
      expect(error).toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    }
  }
}
