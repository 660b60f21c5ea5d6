// Redis that restarts, stops, freezes, forgets, or has another one in its place.

import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { memoryStorage } from "@holdfast/core";
import {
  FencedError,
  PersistenceError,
  type RunnerRecord,
  type RunnerStorage,
  type ShardId,
} from "@holdfast/core/adapter";
import { Cluster, Redis } from "ioredis";
import { findProgram } from "../../../test/services/programs.ts";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { MASTER_NAME, startOwnSentinel } from "../../../test/services/redis-sentinel.ts";
import { member } from "../../../test/member.ts";
import { ACQUIRE, channelOf, keysOf } from "../src/scripts.ts";
import { services, Sessions, TTL_MS } from "./backend.ts";
import { wayTo } from "./proxy.ts";

/** Leases that outlive every fault here by far. */
const LONG_TTL_MS = 60_000;
const SHARDS: readonly ShardId[] = ["default:0", "default:1", "default:2"];
/**
 * Keeps what it answered over a kill, and loses what a test takes away of it: so it is known what is lost. What `everysec`
 * loses in a kill is a matter of luck.
 */
const ON_DISK = ["--appendonly", "yes", "--appendfsync", "always"];

describe.skipIf(findProgram("redis-server") === undefined)("a Redis that fails", () => {
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);

  beforeEach(() => void process.on("unhandledRejection", note));
  afterEach(() => {
    process.off("unhandledRejection", note);
    if (rejections.length > 0) throw new AggregateError(rejections, "A rejection that nobody handled");
  });

  async function start(options: Parameters<typeof startOwnRedis>[0] = {}): Promise<OwnRedis> {
    const server = await startOwnRedis(options);
    onTestFinished(() => server.stop());
    return server;
  }

  /** Its sessions are closed before the server is. */
  function sessionsOn(url: string, isCluster = false): Sessions {
    const sessions = new Sessions({ url, commandTimeout: 600, ...(isCluster ? { cluster: true } : {}) });
    onTestFinished(() => sessions[Symbol.asyncDispose]());
    return sessions;
  }

  it.each([false, true])(
    "keeps leases, records and shards over a restart from its file, and watches go on (cluster: %s)",
    async (isCluster) => {
      const server = await start({ extra: ON_DISK, isCluster });
      const sessions = sessionsOn(server.url, isCluster);
      const runners = await sessions.open();
      await join(runners, "r1");
      let told = 0;
      const end = await runners.watch(() => {
        told += 1;
      });
      await server.control.restart();
      expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("held");
      expect(await runners.listShards()).toEqual(new Map(SHARDS.map((shardId) => [shardId, "r1"])));
      expect(await runners.listRunners()).toEqual([member("r1")]);
      const others = await sessions.open();
      const before = told;
      await others.register(member("r2"), LONG_TTL_MS);
      await expect.poll(() => told, { timeout: 10_000 }).toBeGreaterThan(before);
      await end();
    },
  );

  it.each([false, true])(
    "that comes back empty says `lost`, tells so, and takes new members (cluster: %s)",
    async (isCluster) => {
      const server = await start({ isCluster });
      const sessions = sessionsOn(server.url, isCluster);
      const runners = await sessions.open({ pollInterval: 50 });
      await join(runners, "r1");
      let told = 0;
      await runners.watch(() => {
        told += 1;
      });
      const before = told;
      await server.control.restart();
      await expect.poll(() => told, { timeout: 10_000 }).toBeGreaterThan(before);
      expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("lost");
      expect(await runners.acquireShards("r1", SHARDS)).toEqual([]);
      await join(runners, "r1-again");
      expect(await runners.listRunners()).toEqual([member("r1-again")]);
    },
  );

  it.each(["SIGKILL", "SIGSTOP"] as const)(
    "rejects in bounded time while it is gone (%s), says `lost` when it is back too late, and takes a new member",
    async (signal) => {
      const server = await start({ extra: ON_DISK });
      const runners = await sessionsOn(server.url).open();
      await runners.register(member("r1"), TTL_MS);
      await runners.acquireShards("r1", SHARDS);
      await server.control.kill(signal);
      for (const call of [
        () => runners.refresh("r1"),
        () => runners.acquireShards("r1", ["default:9"]),
        () => runners.listRunners(),
        () => runners.releaseShards("r1", SHARDS),
        () => runners.unregister("r1"),
      ]) {
        await expect(call()).rejects.toBeInstanceOf(PersistenceError);
      }
      if (signal === "SIGSTOP") await server.control.kill("SIGCONT");
      else await server.control.start();
      // The calls took longer than the lease. What it was told while it stood still changes nothing.
      expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("lost");
      expect(await runners.listRunners()).toEqual([]);
      expect(await runners.acquireShards("r1", SHARDS)).toEqual([]);
      await join(runners, "r1-again");
    },
  );

  it("that has no memory left keeps leases, and takes and lets go members and shards", async () => {
    const server = await start({ extra: ["--maxmemory-policy", "noeviction"] });
    const sessions = sessionsOn(server.url);
    const [first, second] = [await sessions.open(), await sessions.open()];
    await join(first, "r1");
    const admin = new Redis(server.url);
    onTestFinished(() => admin.disconnect());
    await admin.config("SET", "maxmemory", "1");
    await expect(admin.set("any", "thing")).rejects.toThrow("OOM");
    expect(await first.refresh("r1")).toBe("held");
    await second.register(member("r2"), LONG_TTL_MS);
    await first.releaseShards("r1", SHARDS);
    expect(await second.acquireShards("r2", SHARDS)).toEqual(SHARDS);
    await first.unregister("r1");
    expect(await second.listRunners()).toEqual([member("r2")]);
  });

  it.each(["leases", "terms", "records", "shards", "changes", "gone", "version"])(
    "that evicted the key of `%s` is joined again, and nobody is a member there by half",
    async (key) => {
      const server = await start();
      const sessions = sessionsOn(server.url);
      const [first, second] = [await sessions.open(), await sessions.open()];
      await join(first, "r1");
      await second.register(member("r2"), LONG_TTL_MS);
      await operatorOn(server).del(`{${sessions.prefix}:runners}:${key}`);
      const answers = [await first.refresh("r1"), await second.refresh("r2")];
      const lost = ["leases", "terms", "records", "changes"].includes(key);
      expect(answers).toEqual(lost ? ["lost", "lost"] : ["held", "held"]);
      expect(await first.listRunners()).toHaveLength(lost ? 0 : 2);
      if (!lost) return;
      // As the keeper of a lease does.
      await first.unregister("r1");
      await first.register(member("r1-again"), LONG_TTL_MS);
      expect(await first.refresh("r1-again")).toBe("held");
      expect(await first.acquireShards("r1-again", SHARDS)).toEqual(SHARDS);
      expect(await second.listRunners()).toEqual([member("r1-again")]);
    },
  );

  it.each(["leases", "terms", "records", "shards", "changes", "gone", "version"])(
    "that has something else at the key of `%s` is not joined: it says what to do, and is left as it is",
    async (key) => {
      const server = await start();
      const sessions = sessionsOn(server.url);
      const operator = operatorOn(server);
      const taken = `{${sessions.prefix}:runners}:${key}`;
      await operator.rpush(taken, "of another application");
      await expect(sessions.open()).rejects.toMatchObject({
        name: "ConfigError",
        option: "runners.prefix",
        message: expect.stringContaining(taken) as unknown,
      });
      expect(await operator.keys("*")).toEqual([taken]);
      expect(await operator.lrange(taken, 0, -1)).toEqual(["of another application"]);
      await operator.del(taken);
      await join(await sessions.open(), "r1");
    },
  );

  it("that forgot its last writes lets two runners hold a shard, and only the later one's writes count (INV-1)", async () => {
    const server = await start({ extra: ON_DISK });
    const sessions = sessionsOn(server.url);
    const [first, second] = [await sessions.open(), await sessions.open()];
    const storage = await memoryStorage().open(services());
    onTestFinished(() => storage.close());
    await first.register(member("r1"), LONG_TTL_MS);
    await second.register(member("r2"), LONG_TTL_MS);
    const shardId: ShardId = "default:0";
    const mark = await server.control.mark();
    expect(await first.acquireShards("r1", [shardId])).toEqual([shardId]);
    const [firstEpoch = 0] = await storage.messages.claimShards([shardId]);
    const write = (epoch: number): Promise<void> =>
      storage.messages.recordAttempt("a request", 1, { shardId, epoch });
    await write(firstEpoch);

    await server.control.killAndForget(mark);
    await server.control.start();
    // Redis gives away what it gave to the first, which believes that it has it.
    expect(await untilItAnswers(() => second.acquireShards("r2", [shardId]))).toEqual([shardId]);
    const [secondEpoch = 0] = await storage.messages.claimShards([shardId]);
    await write(secondEpoch);
    await expect(write(firstEpoch)).rejects.toBeInstanceOf(FencedError);
    await write(secondEpoch);
    // And the first finds out at its next refresh, even if it writes nothing. The second keeps what it has.
    expect(await first.refresh("r1")).toBe("lost");
    expect(await second.refresh("r2")).toBe("held");
    expect(await second.listShards()).toEqual(new Map([[shardId, "r2"]]));
  });

  it("that forgot a release keeps no shard for who released it", async () => {
    const server = await start({ extra: ON_DISK });
    const sessions = sessionsOn(server.url);
    const [first, second] = [await sessions.open(), await sessions.open()];
    await join(first, "r1");
    await second.register(member("r2"), LONG_TTL_MS);
    const mark = await server.control.mark();
    await first.releaseShards("r1", SHARDS);
    await server.control.killAndForget(mark);
    await server.control.start();
    expect(await untilItAnswers(() => second.acquireShards("r2", SHARDS))).toEqual([]);
    // A later change does not hide that an earlier one is missing.
    await first.register(member("r1", { weight: 2 }), LONG_TTL_MS);
    expect(await first.acquireShards("r1", ["default:7"])).toEqual([]);
    expect(await first.refresh("r1")).toBe("lost");
    expect(await second.acquireShards("r2", SHARDS)).toEqual(SHARDS);
  });

  it("that forgot no more than a refresh takes no lease away", async () => {
    const server = await start({ extra: ON_DISK });
    const runners = await sessionsOn(server.url).open();
    await join(runners, "r1");
    const mark = await server.control.mark();
    expect(await runners.refresh("r1")).toBe("held");
    await server.control.killAndForget(mark);
    await server.control.start();
    expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("held");
    expect((await runners.listShards()).size).toBe(SHARDS.length);
  });

  it("whose clock was set back keeps no lease for longer than its term", async () => {
    const server = await start();
    const sessions = sessionsOn(server.url);
    const runners = await sessions.open({ pollInterval: 50 });
    await runners.register(member("r1"), TTL_MS);
    await runners.watch(() => undefined);
    const operator = operatorOn(server);
    // As a lease looks that was given an hour before the clock was set back by an hour.
    await operator.zadd(`{${sessions.prefix}:runners}:leases`, Date.now() + 3_600_000, "r1");
    await expect.poll(() => runners.listRunners(), { timeout: 10_000 }).toEqual([]);
  });

  it("behind a firewall that forgot its connections is reached by new ones, within one call", async () => {
    const server = await start();
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const runners = await sessionsOn(`redis://127.0.0.1:${way.port}`).open({ commandTimeout: 3_000 });
    await runners.register(member("r1"), LONG_TTL_MS);
    way.hold();
    expect(await runners.refresh("r1")).toBe("held");
    expect(way.count).toBeGreaterThan(1);
  });

  it("is sent nothing again by ioredis when a connection of a cluster ends: each try is one of ours", async () => {
    const server = await start({ isCluster: true });
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const client = new Cluster([{ host: "127.0.0.1", port: way.port }], {
      lazyConnect: true,
      natMap: { [`127.0.0.1:${server.port}`]: { host: "127.0.0.1", port: way.port } },
    });
    onTestFinished(() => client.disconnect());
    const sessions = new Sessions({ client, commandTimeout: 3_000 });
    onTestFinished(() => sessions[Symbol.asyncDispose]());
    const runners = await sessions.open();
    await runners.register(member("r1"), LONG_TTL_MS);
    for (const shardId of SHARDS) {
      way.cut(shardId);
      expect(await runners.acquireShards("r1", [shardId])).toEqual([shardId]);
      const tries = way.commands.filter((command) => command.includes(shardId));
      expect(tries.length).toBeGreaterThan(1);
      expect(new Set(tries).size).toBe(tries.length);
    }
  });

  it.each<[string, Step, Step, Partial<Outcome>]>([
    [
      "a release, after the shard was taken again",
      (runners) => runners.releaseShards("r1", ["default:0"]),
      (runners) => runners.acquireShards("r1", ["default:0"]),
      { holders: ["r1", "r1", "r1"] },
    ],
    [
      "a claim, after the shard was given back",
      (runners) => runners.acquireShards("r1", ["default:3"]),
      (runners) => runners.releaseShards("r1", ["default:3", "default:0"]),
      { holders: ["r1", "r1"] },
    ],
    [
      "a registration, after a newer one",
      (runners) => runners.register(member("r1", { weight: 2 }), LONG_TTL_MS),
      (runners) => runners.register(member("r1", { weight: 3 }), LONG_TTL_MS),
      { members: [member("r1", { weight: 3 })] },
    ],
    [
      "a registration, after the lease was given back",
      (runners) => runners.register(member("r1", { weight: 2 }), LONG_TTL_MS),
      (runners) => runners.unregister("r1"),
      { members: [], holders: [] },
    ],
    [
      "a registration, after the lease ran out",
      (runners) => runners.register(member("r1", { weight: 2 }), TTL_MS),
      (runners) => until(async () => (await runners.listRunners()).length === 0),
      { members: [], holders: [] },
    ],
    [
      "the end of a lease, after a new one was taken",
      (runners) => runners.unregister("r1"),
      (runners) => runners.register(member("r1", { weight: 4 }), LONG_TTL_MS),
      { members: [member("r1", { weight: 4 })] },
    ],
  ])("to which a try comes late does not do it any more: %s", async (_what, first, second, outcome) => {
    const server = await start();
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const sessions = sessionsOn(`redis://127.0.0.1:${way.port}`);
    const runners = await sessions.open();
    await join(runners, "r1");
    way.hold();
    // Its first try is given up, and the next one goes over a new connection.
    await first(runners);
    await second(runners);
    expect(await way.deliver()).toMatch(/^-STALE \d+\r\n$/u);
    const { members = await runners.listRunners(), holders } = outcome;
    expect(await runners.listRunners()).toEqual(members);
    if (holders !== undefined) expect([...(await runners.listShards()).values()]).toEqual(holders);
    expect(await runners.refresh("r1")).toBe(members.length === 0 ? "lost" : "held");
  });

  it("to which a registration comes late that it never knew of takes no member back whose lease is over", async () => {
    const server = await start();
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const sessions = sessionsOn(`redis://127.0.0.1:${server.port}`);
    const runners = await sessions.open({ url: `redis://127.0.0.1:${way.port}` });
    const others = await sessions.open();
    await runners.register(member("r1"), TTL_MS);
    way.hold();
    const late = runners.register(member("r1", { weight: 2 }), TTL_MS);
    await way.held();
    way.shut();
    await expect(late).rejects.toBeInstanceOf(PersistenceError);
    await until(async () => (await others.listRunners()).length === 0);
    expect(await way.deliver()).toMatch(/^:1\r\n/u);
    expect(await others.listRunners()).toEqual([]);
  });

  it("to which a first registration comes late takes no member that was unregistered since", async () => {
    const server = await start();
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const sessions = sessionsOn(`redis://127.0.0.1:${server.port}`);
    const runners = await sessions.open({ url: `redis://127.0.0.1:${way.port}` });
    const others = await sessions.open();
    way.hold();
    const late = runners.register(member("r1"), LONG_TTL_MS);
    await way.held();
    way.shut();
    await expect(late).rejects.toBeInstanceOf(PersistenceError);
    await others.unregister("r1");
    expect(await way.deliver()).toMatch(/^-STALE \d+\r\n$/u);
    expect(await others.listRunners()).toEqual([]);
  });

  it("that forgot a change is found out although a later one, sent before the answer to that one came, reached it", async () => {
    const server = await start({ extra: ON_DISK });
    const sessions = sessionsOn(server.url);
    const runners = await sessions.open();
    // The changes 1 and 2. The third is forgotten.
    await join(runners, "r1");
    const mark = await server.control.mark();
    await runners.releaseShards("r1", ["default:0"]);
    await server.control.killAndForget(mark);
    await server.control.start();
    // As a node of a cluster that is no master any more sends on to the new one what was sent beside the third.
    const keys = keysOf(sessions.prefix);
    const late = [channelOf(sessions.prefix), "r1", "2", "4", "default:9"];
    expect(await operatorOn(server).eval(ACQUIRE, keys.length, ...keys, ...late)).toEqual(["default:9"]);
    expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("lost");
    expect((await runners.listShards()).size).toBe(0);
  });

  it("forgets the number of a lease an hour after its end, and that of no lease that lives", async () => {
    const server = await start();
    const sessions = sessionsOn(server.url);
    const runners = await sessions.open();
    const operator = operatorOn(server);
    const key = (name: string): string => `{${sessions.prefix}:runners}:${name}`;
    for (const runnerId of ["r1", "r2", "r3"]) await runners.register(member(runnerId), LONG_TTL_MS);
    await runners.unregister("r1");
    await runners.unregister("r2");
    await runners.register(member("r2"), LONG_TTL_MS);
    const over = await operator.zrange(key("gone"), "0", "-1", "WITHSCORES");
    expect(over).toEqual(["r1", expect.any(String)]);
    expect(Number(over[1]) - Date.now()).toBeGreaterThan(3_500_000);
    await operator.zadd(key("gone"), Date.now(), "r1");
    await runners.listRunners();
    expect(await operator.zcard(key("gone"))).toBe(0);
    expect((await operator.hkeys(key("changes"))).toSorted()).toEqual(["r2", "r3"]);
    expect(await runners.refresh("r2")).toBe("held");
  });

  it("takes changes of one member from two sessions", async () => {
    const sessions = sessionsOn((await start()).url);
    const [first, second] = [await sessions.open(), await sessions.open()];
    await join(first, "r1");
    await first.releaseShards("r1", SHARDS);
    await second.register(member("r1", { weight: 2 }), LONG_TTL_MS);
    expect(await second.acquireShards("r1", ["default:0"])).toEqual(["default:0"]);
    expect(await first.acquireShards("r1", SHARDS)).toEqual(SHARDS);
    expect([await first.refresh("r1"), await second.refresh("r1")]).toEqual(["held", "held"]);
    await second.unregister("r1");
    expect(await first.refresh("r1")).toBe("lost");
    await first.register(member("r1"), LONG_TTL_MS);
    expect(await first.refresh("r1")).toBe("held");
  });

  it("is told in each try what it confirmed until then: a retry does not hide what it forgot meanwhile", async () => {
    const server = await start({ extra: ON_DISK });
    const way = await wayTo(server.port);
    onTestFinished(() => way.close());
    const sessions = sessionsOn(`redis://127.0.0.1:${server.port}`);
    const first = await sessions.open({ url: `redis://127.0.0.1:${way.port}`, commandTimeout: 6_000 });
    const second = await sessions.open();
    await join(first, "r1");
    await second.register(member("r2"), LONG_TTL_MS);
    const mark = await server.control.mark();
    way.hold("default:9");
    const release = first.releaseShards("r1", ["default:0"]);
    const acquire = first.acquireShards("r1", ["default:9"]);
    await release;
    // Redis forgets the release while the other call waits for its answer.
    await way.held();
    await server.control.killAndForget(mark);
    await server.control.start();
    expect(await acquire).toEqual([]);
    expect(await first.refresh("r1")).toBe("lost");
    expect(await second.acquireShards("r2", SHARDS)).toEqual(SHARDS);
  });

  it("is spoken to as a client of the user's says, over connections of our own, and the client stays open", async () => {
    const server = await start({ extra: ON_DISK });
    const client = operatorOn(server);
    const sessions = new Sessions({ client, commandTimeout: 600 });
    onTestFinished(() => sessions[Symbol.asyncDispose]());
    const runners = await sessions.open();
    await join(runners, "r1");
    await runners.watch(() => undefined);
    // Nobody listens for errors of the connections but we.
    await server.control.restart();
    expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("held");
    await sessions[Symbol.asyncDispose]();
    expect(await client.ping()).toBe("PONG");
    expect(await client.client("LIST")).not.toMatch(/cmd=(?:eval|subscribe)/u);
  });

  it("is followed by its replica when Sentinels say so, and who was not replicated in time finds out", async () => {
    const service = await startOwnSentinel(500);
    onTestFinished(() => service.stop());
    const sessions = new Sessions({
      url: service.url,
      sentinel: { name: MASTER_NAME },
      commandTimeout: 1_000,
    });
    onTestFinished(() => sessions[Symbol.asyncDispose]());
    const [first, second] = [await sessions.open(), await sessions.open()];
    await join(first, "r1");
    await second.register(member("r2"), LONG_TTL_MS);
    // All that was written so far is there. What comes now is not even on its way.
    const operator = operatorOn(service.first);
    await operator.wait(1, 0);
    await service.second.control.kill("SIGSTOP");
    await operator.call("CLIENT", "KILL", "TYPE", "replica");
    await first.releaseShards("r1", ["default:2"]);
    await service.first.control.kill("SIGKILL");
    await service.second.control.kill("SIGCONT");
    expect(await untilItAnswers(() => second.refresh("r2"))).toBe("held");
    expect(await first.refresh("r1")).toBe("lost");
    expect(await second.acquireShards("r2", SHARDS)).toEqual(SHARDS);
  });

  it("lets no two members hold one shard, however they race", async () => {
    const sessions = sessionsOn((await start()).url);
    const racers = await Promise.all([sessions.open(), sessions.open(), sessions.open()]);
    const ids = racers.map((_, index) => `r${index}`);
    for (const [index, runners] of racers.entries())
      await runners.register(member(ids[index] ?? ""), LONG_TTL_MS);
    const shardIds = Array.from({ length: 250 }, (_, index): ShardId => `default:${index}`);
    for (let round = 0; round < 10; round += 1) {
      const held = await Promise.all(
        racers.map((runners, index) => runners.acquireShards(ids[index] ?? "", shardIds)),
      );
      expect(held.flat().toSorted()).toEqual(shardIds.toSorted());
      await Promise.all(racers.map((runners, index) => runners.releaseShards(ids[index] ?? "", shardIds)));
      expect((await racers[0]?.listShards())?.size).toBe(0);
    }
  });

  function operatorOn(server: OwnRedis): Redis {
    const operator = new Redis(server.port, "127.0.0.1");
    operator.on("error", () => undefined);
    onTestFinished(() => operator.disconnect());
    return operator;
  }
});

type Step = (runners: RunnerStorage) => Promise<unknown>;

interface Outcome {
  readonly members: readonly RunnerRecord[];
  /** Of the shards that are held. */
  readonly holders: readonly string[];
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  await expect.poll(isSo, { timeout: 10_000 }).toBe(true);
}

async function join(runners: RunnerStorage, runnerId: string): Promise<void> {
  await runners.register(member(runnerId), LONG_TTL_MS);
  expect(await runners.acquireShards(runnerId, SHARDS)).toEqual(SHARDS);
}

/** Asks until Redis answers. */
async function untilItAnswers<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      expect(error).toBeInstanceOf(PersistenceError);
    }
  }
}
