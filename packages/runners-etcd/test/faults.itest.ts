// etcd that restarts, stops, freezes or takes leases away.

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { PersistenceError, type ShardId } from "@holdfast/core/adapter";
import { adapterServices } from "@holdfast/testing";
import { Etcd3 } from "etcd3";
import { startOwnEtcd, type EtcdControl, type EtcdService } from "../../../test/services/etcd.ts";
import { freePort } from "../../../test/services/free-port.ts";
import { findProgram } from "../../../test/services/programs.ts";
import { member } from "../../../test/member.ts";
import { EtcdRunnerStorage } from "../src/etcd-runner-storage.ts";
import { EtcdSession } from "../src/etcd-session.ts";
import { EtcdWatch } from "../src/etcd-watch.ts";
import { checkOptions } from "../src/options.ts";
import { hostsOf, Sessions, TTL_MS } from "./backend.ts";

/** Leases that outlive a restart of etcd by far. */
const LONG_TTL_MS = 20_000;
const SHARDS: readonly ShardId[] = ["default:0", "default:1", "default:2"];

describe.skipIf(findProgram("etcd") === undefined)("an etcd that fails", () => {
  let etcd: OwnEtcd;
  let sessions: Sessions;
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);

  beforeEach(async () => {
    process.on("unhandledRejection", note);
    etcd = await startOwnEtcd();
    sessions = new Sessions({ hosts: hostsOf(etcd.url), timeoutMs: 500 });
  });
  afterEach(async () => {
    await sessions[Symbol.asyncDispose]();
    await etcd.stop();
    process.off("unhandledRejection", note);
    if (rejections.length > 0) throw new AggregateError(rejections, "A rejection that nobody handled");
  });

  /** Asks until etcd answers. */
  async function untilItAnswers<Result>(call: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        expect(error).toBeInstanceOf(PersistenceError);
      }
    }
  }

  it("keeps leases, records and shards over a restart within their term, and watches go on", async () => {
    const runners = await sessions.open();
    await runners.register(member("r1"), LONG_TTL_MS);
    await runners.acquireShards("r1", SHARDS);
    let told = 0;
    const end = await runners.watch(() => {
      told += 1;
    });
    await etcd.control.restart();
    expect(await untilItAnswers(() => runners.refresh("r1"))).toBe("held");
    expect(await runners.listShards()).toEqual(new Map(SHARDS.map((shardId) => [shardId, "r1"])));
    expect(await runners.listRunners()).toEqual([member("r1")]);
    // What others do after the restart is told, whatever was missed in it.
    await expect.poll(() => told).toBeGreaterThan(0);
    const others = await sessions.open();
    const before = told;
    await others.register(member("r2"), LONG_TTL_MS);
    await expect.poll(() => told).toBeGreaterThan(before);
    await end();
  });

  it.each(["SIGKILL", "SIGSTOP"] as const)(
    "rejects in bounded time while it is gone (%s), says `lost` when it is back too late, and takes a new member",
    async (signal) => {
      const runners = await sessions.open();
      await runners.register(member("r1"), TTL_MS);
      await runners.acquireShards("r1", SHARDS);
      await etcd.control.kill(signal);
      for (const call of [
        () => runners.refresh("r1"),
        () => runners.acquireShards("r1", ["default:9"]),
        () => runners.listRunners(),
        () => runners.releaseShards("r1", SHARDS),
        () => runners.unregister("r1"),
      ]) {
        await expect(call()).rejects.toBeInstanceOf(PersistenceError);
      }
      if (signal === "SIGSTOP") await etcd.control.kill("SIGCONT");
      else await etcd.control.start();
      // A restarted etcd gives each lease its term again: it runs out unless it is refreshed.
      await expect
        .poll(async () => (await untilItAnswers(() => runners.listRunners())).length, { timeout: 20_000 })
        .toBe(0);
      expect(await runners.refresh("r1")).toBe("lost");
      expect(await runners.acquireShards("r1", SHARDS)).toEqual([]);
      await runners.register(member("r1-again"), LONG_TTL_MS);
      expect(await runners.acquireShards("r1-again", SHARDS)).toEqual(SHARDS);
    },
  );

  it("that takes a lease away is noticed at the next refresh", async () => {
    const runners = await sessions.open();
    await runners.register(member("r1"), LONG_TTL_MS);
    await runners.acquireShards("r1", SHARDS);
    const operator = new Etcd3({ hosts: hostsOf(etcd.url) });
    const { leases } = await operator.leaseClient.leaseLeases();
    for (const { ID } of leases) await operator.leaseClient.leaseRevoke({ ID });
    operator.close();
    expect(await runners.refresh("r1")).toBe("lost");
    expect(await runners.listShards()).toEqual(new Map());
  });

  it("from which somebody deleted the keys, but not the leases, is joined again", async () => {
    const runners = await sessions.open();
    await runners.register(member("r1"), LONG_TTL_MS);
    await runners.acquireShards("r1", SHARDS);
    const operator = new Etcd3({ hosts: hostsOf(etcd.url) });
    await operator.delete().prefix(`${sessions.prefix}runners/`);
    expect(await runners.refresh("r1")).toBe("lost");
    // Its shards are free at once, and not when its lease runs out.
    await runners.unregister("r1");
    expect(await runners.listShards()).toEqual(new Map());
    expect((await operator.leaseClient.leaseLeases()).leases).toEqual([]);
    operator.close();
    await runners.register(member("r1-again"), LONG_TTL_MS);
    expect(await runners.refresh("r1-again")).toBe("held");
    expect(await runners.acquireShards("r1-again", SHARDS)).toEqual(SHARDS);
  });

  it("whose reads are silent is waited for by no refresh: the lease is renewed by then", async () => {
    const session = new EtcdSession(checkOptions({ hosts: hostsOf(etcd.url), prefix: sessions.prefix }));
    onTestFinished(() => session.close());
    const runners = new EtcdRunnerStorage(session, adapterServices().random);
    await runners.register(member("r1"), LONG_TTL_MS);
    const silent = vi.spyOn(session.client.kv, "range").mockReturnValue(new Promise(() => undefined));
    const sentAt = performance.now();
    expect(await runners.refresh("r1")).toBe("held");
    expect(performance.now() - sentAt).toBeLessThan(1_500);
    expect(silent).toHaveBeenCalled();
  });

  it("gives a runner nothing by a try that it passes on late, after the runner gave shards back", async () => {
    const session = new EtcdSession(checkOptions({ hosts: hostsOf(etcd.url), prefix: sessions.prefix }));
    onTestFinished(() => session.close());
    const runners = new EtcdRunnerStorage(session, adapterServices().random);
    await runners.register(member("r1"), LONG_TTL_MS);
    const sent = vi.spyOn(session.client.kv, "txn");
    expect(await runners.acquireShards("r1", SHARDS)).toEqual(SHARDS);
    const [late] = sent.mock.calls.map(([request]) => request);
    await runners.releaseShards("r1", SHARDS);
    expect((await session.client.kv.txn(late ?? {})).succeeded).toBe(false);
    expect(await runners.listShards()).toEqual(new Map());
    // Also another session that knows of no release takes them, and the first one again.
    const other = await sessions.open();
    expect(await other.acquireShards("r1", ["default:0"])).toEqual(["default:0"]);
    expect(await runners.acquireShards("r1", SHARDS)).toEqual(SHARDS);
  });

  it("takes nothing from a runner by a release that it passes on late, after the runner acquired the shards again", async () => {
    const session = new EtcdSession(checkOptions({ hosts: hostsOf(etcd.url), prefix: sessions.prefix }));
    onTestFinished(() => session.close());
    const runners = new EtcdRunnerStorage(session, adapterServices().random);
    for (const id of ["r1", "r2"]) await runners.register(member(id), LONG_TTL_MS);
    await runners.acquireShards("r1", SHARDS);
    const sent = vi.spyOn(session.client.kv, "txn");
    await runners.releaseShards("r1", SHARDS);
    const [late] = sent.mock.calls.map(([request]) => request);
    expect(await runners.acquireShards("r1", SHARDS)).toEqual(SHARDS);
    expect((await session.client.kv.txn(late ?? {})).succeeded).toBe(false);
    expect(await runners.acquireShards("r2", SHARDS)).toEqual([]);
  });

  it("does not matter where another host of the list answers", async () => {
    const runners = await sessions.open({
      hosts: ["http://127.0.0.1:1", hostsOf(etcd.url)],
      // The client draws a host for each try: with few tries it may draw the dead one each time.
      timeoutMs: 10_000,
    });
    await runners.register(member("r1"), LONG_TTL_MS);
    for (let round = 0; round < 10; round += 1) expect(await runners.refresh("r1")).toBe("held");
  });

  it("ends the watch of a member without a leader, which would hear nothing there, and tells so once there is one", async () => {
    const [one, two] = await startTwoEtcds();
    onTestFinished(() => stopAll(one, two));
    const session = new EtcdSession(checkOptions({ hosts: hostsOf(one.url) }));
    onTestFinished(() => session.close());
    const opened = vi.spyOn(session.client.watchClient, "watch");
    let told = 0;
    const watch = new EtcdWatch(session, () => {
      told += 1;
    });
    await watch.start();
    const stream = await opened.mock.results[0]?.value;
    const ended = new Promise((resolve) => stream?.on("error", resolve));
    await two.control.kill("SIGSTOP");
    expect(String(await ended)).toContain("no leader");
    const before = told;
    await two.control.kill("SIGCONT");
    await expect.poll(() => told, { timeout: 20_000 }).toBeGreaterThan(before);
    watch.stop();
  });

  it("does not hold up who begins to watch while it takes connections and says nothing", async () => {
    await etcd.control.kill("SIGSTOP");
    const session = new EtcdSession(checkOptions({ hosts: hostsOf(etcd.url), timeoutMs: 200 }));
    onTestFinished(() => session.close());
    let told = 0;
    const watch = new EtcdWatch(session, () => {
      told += 1;
    });
    await watch.start();
    expect(told).toBe(0);
    await etcd.control.kill("SIGCONT");
    await expect.poll(() => told, { timeout: 20_000 }).toBeGreaterThan(0);
    watch.stop();
  });

  it("lets no two members hold one shard, however they race", async () => {
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
});

type OwnEtcd = EtcdService & { readonly control: EtcdControl };

/** Members of one etcd: without either of them there is no quorum. */
async function startTwoEtcds(): Promise<readonly [OwnEtcd, OwnEtcd]> {
  const peers = {
    one: `http://127.0.0.1:${await freePort()}`,
    two: `http://127.0.0.1:${await freePort()}`,
  };
  const start = (name: keyof typeof peers): Promise<OwnEtcd> =>
    startOwnEtcd({
      extra: [
        ["--name", name, "--initial-cluster", `one=${peers.one},two=${peers.two}`],
        ["--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]],
      ].flat(),
    });
  return Promise.all([start("one"), start("two")]);
}

/** In good order each would wait for the other to lead. */
async function stopAll(...services: readonly OwnEtcd[]): Promise<void> {
  for (const { control } of services) await control.kill("SIGKILL");
  for (const service of services) await service.stop();
}
