// What a runner does that is cut off from storage, from the lease store, or from both.

import { defineEntity, defineSingleton, rpc, type Duration, type SingletonDefinition } from "@holdfast/core";
import { createTestCluster, type BackendFaultOptions, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Echo = defineEntity({
  name: "Echo",
  rpcs: { say: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
});
const echo = Echo.implement({ say: (text: string) => text, keep: (text: string) => text });

const NO_STORAGE: BackendFaultOptions = { storageErrorBeforeCommit: 1 };
const SLOW_STORAGE: BackendFaultOptions = { storageDelay: ["6s", "6s"] };
const NO_LEASES: BackendFaultOptions = { leaseErrorBeforeEffect: 1 };
const SLOW_LEASES: BackendFaultOptions = { leaseDelay: ["6s", "6s"] };

const owned = (cluster: TestCluster): readonly number[] =>
  cluster.runners.map(({ shardsOwned }) => shardsOwned);

/** Detachments of runner 0, in order. */
function detachments(cluster: TestCluster): readonly string[] {
  const events: string[] = [];
  cluster.runners[0]?.member.events
    .on("detached", ({ reason }) => events.push(reason))
    .on("attached", () => events.push("attached"));
  return events;
}

async function answers(cluster: TestCluster, within: Duration = "10s"): Promise<readonly (string | Error)[]> {
  const calls = Array.from({ length: 30 }, (_, n) => {
    const entity = cluster.entity(Echo, `e${n}`);
    return (n % 2 === 0 ? entity.say("yes") : entity.keep("yes")).catch((error: Error) => error);
  });
  await cluster.advance(within);
  return Promise.all(calls);
}

describe("a runner with detachmentEnabled that alone cannot reach", () => {
  it.each([
    ["storage", NO_STORAGE, "storage is out of reach"],
    ["storage in useful time", SLOW_STORAGE, "storage is out of reach"],
  ] as const)(
    "%s gives its shards to the others although its lease is fine, and takes them back",
    async (_what, faults, reason) => {
      await using cluster = await createTestCluster({
        runners: 3,
        register: [echo],
        detachmentEnabled: true,
      });
      const events = detachments(cluster);
      cluster.faults(faults, [0]);
      await cluster.advance("8s");
      expect(events).toEqual([reason]);
      // The lease lasts 30 s, and is refreshed all the time.
      expect(owned(cluster)[0]).toBe(0);
      expect((owned(cluster)[1] ?? 0) + (owned(cluster)[2] ?? 0)).toBe(300);
      expect(cluster.runners[0]?.status()).toMatchObject({ detached: true, shards: { owned: 0 } });
      expect(cluster.runners[0]?.health()).toMatchObject({
        live: true,
        ready: false,
        checks: {
          attached: { ok: false, detail: reason },
          storage: { ok: false },
          leases: { ok: true },
          lease: { ok: true },
        },
      });
      expect(await answers(cluster)).toEqual(Array.from({ length: 30 }, () => "yes"));
      cluster.faults({}, [0]);
      await cluster.advance("40s");
      expect(events).toEqual([reason, "attached"]);
      expect(owned(cluster)).toEqual([100, 100, 100]);
      expect(cluster.runners[0]?.health().ready).toBe(true);
      expect(await answers(cluster)).toEqual(Array.from({ length: 30 }, () => "yes"));
    },
  );

  it.each([
    ["the lease store", NO_LEASES],
    ["the lease store in useful time", SLOW_LEASES],
  ] as const)("%s serves nothing before its lease is over, and joins anew", async (_what, faults) => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], detachmentEnabled: true });
    const events = detachments(cluster);
    const before = cluster.runners[0]?.member.parts.lease.runnerId;
    cluster.faults(faults, [0]);
    await cluster.advance("20s");
    expect(events).toEqual(["the lease store is out of reach"]);
    expect(owned(cluster)[0]).toBe(0);
    expect(cluster.runners[0]?.health()).toMatchObject({
      ready: false,
      checks: { storage: { ok: true }, leases: { ok: false } },
    });
    await cluster.advance("40s");
    expect(owned(cluster)[0]).toBe(0);
    if (faults === NO_LEASES) expect(owned(cluster)).toEqual([0, 150, 150]);
    expect(await answers(cluster)).toEqual(Array.from({ length: 30 }, () => "yes"));
    cluster.faults({}, [0]);
    await cluster.advance("1 minute");
    expect(events).toEqual(["the lease store is out of reach", "attached"]);
    expect(owned(cluster)).toEqual([100, 100, 100]);
    if (faults === NO_LEASES) expect(cluster.runners[0]?.member.parts.lease.runnerId).not.toBe(before);
  });
});

/** A singleton that says when it begins and ends, and goes on for a while after it is told to end. */
function leaderThatEnds(events: string[], goOn: () => Promise<void>): SingletonDefinition {
  return defineSingleton({
    name: "leader",
    async run(ctx) {
      events.push(`${ctx.fencingToken} begins`);
      await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      await goOn();
      events.push(`${ctx.fencingToken} ends`);
    },
  });
}

describe("a singleton of a runner that detaches", () => {
  it("ends there before it begins elsewhere, and holds up no other shard", async () => {
    const events: string[] = [];
    // What it has begun, it brings to its end.
    const leader = leaderThatEnds(events, () => cluster.sleep(4_000));
    await using cluster = await createTestCluster({
      runners: 2,
      register: [leader, echo],
      detachmentEnabled: true,
    });
    const at = cluster.runners.findIndex(({ member }) =>
      member.parts.registry.runningSingletons.includes("leader"),
    );
    cluster.faults(NO_STORAGE, [at]);
    await cluster.advance("8s");
    expect(events).toEqual(["1 begins"]);
    expect(owned(cluster)[1 - at]).toBe(299);
    await cluster.advance("8s");
    expect(events).toEqual(["1 begins", "1 ends", "2 begins"]);
    expect(owned(cluster)[1 - at]).toBe(300);
  });
});

describe("a singleton of a runner that loses its lease", () => {
  it("ends there before it begins elsewhere, although the lease store can be reached again by then", async () => {
    const events: string[] = [];
    // Less than what is left of the lease's term.
    const leader = leaderThatEnds(events, () => cluster.sleep(2_000));
    // Under this seed the shard does not come back to the runner that has lost it.
    await using cluster = await createTestCluster({ runners: 2, register: [leader], seed: 2 });
    const runs = (): readonly boolean[] =>
      cluster.runners.map(({ member }) => member.parts.registry.runningSingletons.includes("leader"));
    const at = runs().indexOf(true);
    cluster.faults(NO_LEASES, [at]);
    cluster.runners[at]?.member.events.on("shardLost", () => cluster.faults({}, [at]));
    await cluster.advance("35s");
    expect(events).toEqual(["1 begins", "1 ends", "2 begins"]);
    expect(runs()[at]).toBe(false);
  });
});

describe("a runner that waits for storage to give it the shards of another", () => {
  it("frees them and its own when it detaches, although storage never answers", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], detachmentEnabled: true });
    const events = detachments(cluster);
    cluster.faults({ storageDelay: ["10 minutes", "10 minutes"] }, [0]);
    // Its shards go to the other two, one of which can lease them and not claim them.
    const stopped = cluster.runners[2]?.shutdown();
    await cluster.advance("10s");
    await stopped;
    expect(events).toEqual(["storage is out of reach"]);
    expect(owned(cluster).slice(0, 2)).toEqual([0, 300]);
  });
});

describe("a cluster with detachmentEnabled, all of whose runners lose", () => {
  it.each([
    ["storage", NO_STORAGE],
    ["the lease store", NO_LEASES],
    ["both", { ...NO_STORAGE, ...NO_LEASES }],
  ] as const)("%s for an hour, comes back by itself", async (_what, faults) => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], detachmentEnabled: true });
    cluster.faults(faults);
    await cluster.advance("20s");
    expect(owned(cluster)).toEqual([0, 0, 0]);
    const refused = cluster
      .entity(Echo, "a")
      .say("no")
      .catch((error: unknown) => error);
    await cluster.advance("1h");
    expect(await refused).toMatchObject({ retryable: true });
    cluster.faults({});
    await cluster.advance("30s");
    expect(owned(cluster)).toEqual([100, 100, 100]);
    expect(cluster.runners.map((runner) => runner.status().detached)).toEqual([false, false, false]);
    expect(await answers(cluster)).toEqual(Array.from({ length: 30 }, () => "yes"));
  });
});

describe("a runner with detachmentEnabled", () => {
  it("stays attached while a backend fails now and then", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo], detachmentEnabled: true });
    const events = detachments(cluster);
    cluster.faults({ storageErrorBeforeCommit: 0.3, leaseErrorBeforeEffect: 0.3 }, [0]);
    await cluster.advance("5 minutes");
    expect(events).toEqual([]);
    expect(owned(cluster)).toEqual([150, 150]);
  });

  it("moves its shards ever less often while storage comes and goes", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo], detachmentEnabled: true });
    const events = detachments(cluster);
    for (let round = 0; round < 20; round += 1) {
      cluster.faults(NO_STORAGE, [0]);
      await cluster.advance("6s");
      cluster.faults({}, [0]);
      await cluster.advance("6s");
    }
    expect(events.filter((event) => event === "attached").length).toBeLessThan(5);
  });

  it("does not detach because its process stood still", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo], detachmentEnabled: true });
    const events = detachments(cluster);
    for (let round = 0; round < 3; round += 1) {
      await cluster.pause(0);
      await cluster.advance("12s");
      await cluster.resume(0);
      await cluster.advance("5s");
    }
    expect(events).toEqual([]);
    expect(owned(cluster)).toEqual([150, 150]);
  });

  it("as a client has no shards to give up, and does not detach", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [echo], detachmentEnabled: true });
    cluster.faults({ ...NO_STORAGE, ...NO_LEASES });
    await cluster.advance("20s");
    expect(cluster.status().detached).toBe(false);
  });
});

describe("without detachmentEnabled, a lease store that is out of reach", () => {
  it("while drained shards are being freed does not have them reported as lost a second time", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo] });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    expect(owned(cluster)).toEqual([300, 0]);

    const lost: string[] = [];
    cluster.runners[0]?.member.events.on("shardLost", ({ shardId, reason }) => {
      lost.push(shardId);
      // Freeing them takes longer than the lease lasts.
      const isMoved = reason === "moved to another runner";
      cluster.faults(isMoved ? { leaseDelay: ["1 minute", "1 minute"] } : {}, [0]);
    });
    await cluster.restart(1);
    await cluster.advance("1 minute");
    expect(owned(cluster)[0]).toBe(0);
    expect(lost.toSorted()).toEqual([...new Set(lost)].toSorted());
  });

  it("for less than a lease moves no shard", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    const moved: string[] = [];
    cluster.events.on("shardLost", ({ shardId }) => moved.push(shardId));
    // The refresh before may have been 10s ago; 27s after it the runner stops by itself.
    cluster.faults(NO_LEASES);
    await cluster.advance("15s");
    expect(owned(cluster)).toEqual([100, 100, 100]);
    expect(await answers(cluster, "1s")).toEqual(Array.from({ length: 30 }, () => "yes"));
    cluster.faults({});
    await cluster.advance("1 minute");
    expect(moved).toEqual([]);
    expect(cluster.runners.map((runner) => runner.status().detached)).toEqual([false, false, false]);
  });

  it.each([
    ["failing", NO_LEASES],
    ["failing after the effect of each call", { leaseErrorAfterEffect: 1 }],
  ] as const)(
    "for longer, %s, stops every runner before its lease can be over, and each joins anew",
    async (_what, faults) => {
      await using cluster = await createTestCluster({ runners: 3, register: [echo] });
      const ids = cluster.runners.map((runner) => runner.member.parts.lease.runnerId);
      cluster.faults(faults);
      await cluster.advance("28s");
      expect(owned(cluster)).toEqual([0, 0, 0]);
      expect(cluster.runners.map((runner) => runner.health().checks.lease.ok)).toEqual([false, false, false]);
      await cluster.advance("1h");
      cluster.faults({});
      await cluster.advance("45s");
      expect(owned(cluster)).toEqual([100, 100, 100]);
      for (const [index, runner] of cluster.runners.entries())
        expect(runner.member.parts.lease.runnerId).not.toBe(ids[index]);
      expect(await answers(cluster)).toEqual(Array.from({ length: 30 }, () => "yes"));
    },
  );

  it("for one runner longer than its lease ends that one's shards in time, and the others take them", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    cluster.faults(NO_LEASES, [0]);
    await cluster.advance("28s");
    expect(owned(cluster)[0]).toBe(0);
    await cluster.advance("5s");
    expect(owned(cluster)).toEqual([0, 150, 150]);
    cluster.faults({}, [0]);
    await cluster.advance("30s");
    expect(owned(cluster)).toEqual([100, 100, 100]);
  });

  it("slowly answers each refresh after its term, and no shard is served under a lease that may be over", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo] });
    cluster.faults({ leaseDelay: ["20s", "20s"] }, [0]);
    for (let second = 0; second < 120; second += 1) {
      await cluster.advance("1s");
      const [first, second_] = owned(cluster);
      expect((first ?? 0) + (second_ ?? 0)).toBeLessThanOrEqual(300);
    }
    expect(owned(cluster)).toEqual([0, 300]);
    cluster.faults({}, [0]);
    await cluster.advance("90s");
    expect(owned(cluster)).toEqual([150, 150]);
  });
});
