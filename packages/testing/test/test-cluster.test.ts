import {
  ConfigError,
  defineEntity,
  DefinitionError,
  rpc,
  type Cluster,
  type EntityImplementation,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster, TestClusterError, type TestCluster } from "@holdfast/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";

const Counter = defineEntity({
  name: "Counter",
  rpcs: {
    increment: rpc<number, number>({ persisted: true }),
    get: rpc<void, number>(),
    wait: rpc<void, void>(),
  },
});

/** Counters in memory; `trace` notes what ran, where and when. */
function counter(trace: string[] = [], now: () => number = () => 0): EntityImplementation {
  return Counter.implement((entity) => {
    let value = 0;
    entity.onEvict(() => void trace.push(`${entity.entityId} leaves`));
    return {
      increment(by: number, ctx: HandlerContext) {
        value += by;
        trace.push(`${now()} ${ctx.entityId} ${by} ${ctx.attempt} ${ctx.fencingToken} ${ctx.requestId}`);
        return value;
      },
      get: () => value,
      wait: () => new Promise<void>(() => undefined),
    };
  });
}

function activeRunner(cluster: TestCluster): number {
  return cluster.runners.findIndex(
    (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
  );
}

describe("a test cluster", () => {
  it("owns every shard when it is there, and calls need no time where nothing goes wrong", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [counter()] });
    expect(cluster.runners.reduce((sum, runner) => sum + runner.shardsOwned, 0)).toBe(300);
    const before = cluster.now();
    for (let n = 1; n <= 20; n += 1) await expect(cluster.entity(Counter, "c").increment(1)).resolves.toBe(n);
    expect(cluster.now()).toBe(before);
  });

  it("runs alike with the same seed, event for event, and otherwise with another", async () => {
    const run = async (seed: number): Promise<readonly string[]> => {
      const trace: string[] = [];
      let now = (): number => 0;
      await using cluster = await createTestCluster({
        runners: 3,
        register: [counter(trace, () => now())],
        seed,
      });
      now = () => cluster.now();
      cluster.events.on("shardLost", ({ shardId, reason }) =>
        trace.push(`${cluster.now()} ${shardId} ${reason}`),
      );
      cluster.events.on("runnerLeft", ({ runnerId }) => trace.push(`${cluster.now()} ${runnerId}`));
      cluster.faults({
        drop: 0.05,
        duplicate: 0.05,
        delay: ["0ms", "50ms"],
        storageDelay: ["0ms", "9ms"],
        storageErrorAfterCommit: 0.05,
      });
      const calls = Array.from({ length: 40 }, (_, n) => cluster.entity(Counter, `c${n % 7}`).increment(n));
      await cluster.advance("1s");
      await cluster.pause(0);
      await cluster.crash(1);
      await cluster.advance("1 minute");
      await cluster.resume(0);
      await cluster.restart(1);
      await cluster.advance("1 minute");
      trace.push(JSON.stringify(await Promise.all(calls)), JSON.stringify(cluster.metrics.snapshot()));
      return trace;
    };
    const [first, second, other] = [await run(7), await run(7), await run(8)];
    expect(first.length).toBeGreaterThan(100);
    expect(second).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it("lets five seconds pass by itself for a call that needs time, and no more", async () => {
    await using cluster = await createTestCluster({ register: [counter()], entityTerminationTimeout: "1s" });
    const before = cluster.now();
    let isOver = false;
    const call = cluster
      .entity(Counter, "c")
      .wait()
      .catch(() => undefined)
      .then(() => (isOver = true));
    for (let turn = 0; turn < 2_000; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(cluster.now() - before).toBe(5_000);
    expect(isOver).toBe(false);
    await cluster.shutdown();
    await call;
  });

  it("answers an awaited call although messages are lost", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [counter()], seed: 3 });
    cluster.faults({ drop: 0.1 });
    for (let n = 1; n <= 20; n += 1) await expect(cluster.entity(Counter, "c").increment(1)).resolves.toBe(n);
  });

  it("stops a paused runner whole: it hears nothing, says nothing and stores nothing, until it is resumed", async () => {
    const trace: string[] = [];
    await using cluster = await createTestCluster({ runners: 1, register: [counter(trace)] });
    await cluster.entity(Counter, "c").increment(1);
    await cluster.pause(0);
    expect(cluster.runners[0]?.isPaused).toBe(true);
    let isAnswered = false;
    const call = cluster
      .entity(Counter, "c")
      .increment(1)
      .then((value) => {
        isAnswered = true;
        return value;
      });
    await cluster.advance("5s");
    expect([trace.length, isAnswered]).toEqual([1, false]);
    await cluster.resume(0);
    await expect(call).resolves.toBe(2);
    expect(trace).toHaveLength(2);
  });

  it("kills a crashed runner: no code of its entities hears of it, and another process starts with nothing", async () => {
    const trace: string[] = [];
    await using cluster = await createTestCluster({ runners: 1, register: [counter(trace)] });
    await cluster.entity(Counter, "c").increment(1);
    trace.length = 0;
    await cluster.crash(0);
    expect(cluster.runners[0]).toMatchObject({ isAlive: false, shardsOwned: 0 });
    expect(cluster.status(0)).toMatchObject({ state: "stopped", shards: { owned: 0 } });
    expect(cluster.health(0)).toMatchObject({ live: false, ready: false });
    expect(trace).toEqual([]);
    await cluster.advance("31s"); // runnerLockTtl is 30s: its successor gets what the lease of the dead one held
    await cluster.restart(0);
    await expect(cluster.entity(Counter, "c").get()).resolves.toBe(0);
  });

  it("tells the events of all runners, and of members once", async () => {
    const seen = { shardAcquired: 0, shardLost: 0, runnerJoined: 0, runnerLeft: 0 };
    await using cluster = await createTestCluster({ runners: 3, register: [counter()], shardsPerGroup: 30 });
    for (const name of Object.keys(seen) as (keyof typeof seen)[])
      cluster.events.on(name, () => void (seen[name] += 1));
    await cluster.crash(2);
    await cluster.advance("1 minute");
    // Its ten shards, and maybe one or two that move between those that stay, whose ids are chance.
    expect(seen).toMatchObject({ runnerLeft: 1, runnerJoined: 0 });
    expect(seen.shardAcquired - seen.shardLost).toBe(10);
    expect(seen.shardLost).toBeLessThanOrEqual(3);
    await cluster.restart(2);
    await cluster.advance("10s");
    expect(seen).toMatchObject({ runnerLeft: 1, runnerJoined: 1 });
    expect(seen.shardAcquired - seen.shardLost).toBe(10);
    expect(seen.shardLost).toBeGreaterThanOrEqual(10);
  });

  it("says how it is, and how each runner is", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [counter()] });
    expect(cluster.status()).toMatchObject({ role: "client", state: "running", detached: false });
    expect(
      cluster
        .status()
        .runners.map(({ address, role }) => `${role} ${address}`)
        .toSorted(),
    ).toEqual(["client test", "runner runner-0", "runner runner-1"]);
    expect(cluster.status(0)).toMatchObject({ role: "runner", shards: { owned: 150, total: 300 } });
    expect(cluster.health(1)).toMatchObject({
      live: true,
      ready: true,
      checks: { lease: { ok: true }, shards: { ok: true, detail: "150 of 150" } },
    });
    await cluster.entity(Counter, "c").increment(1);
    expect(cluster.metrics.snapshot()).toMatchObject({ succeeded: 1, shardsOwned: 300, activeEntities: 1 });
    await cluster.crash(activeRunner(cluster));
    expect(cluster.metrics.snapshot()).toMatchObject({ succeeded: 1, shardsOwned: 150, activeEntities: 0 });
  });

  it("serves code that is written for a Cluster, and starts it", async () => {
    const countOn = async (cluster: Cluster): Promise<number> => {
      await cluster.start();
      return cluster.entity(Counter, "c").increment(1);
    };
    await using cluster = await createTestCluster({ register: [counter()] });
    await expect(countOn(cluster)).resolves.toBe(1);
  });

  it("takes a fault that is undefined as left out", async () => {
    await using cluster = await createTestCluster({ register: [counter()] });
    cluster.faults({ drop: undefined, delay: undefined } as object);
    await expect(cluster.entity(Counter, "c").increment(1)).resolves.toBe(1);
  });

  it("refuses what is no option, no fault and no runner", async () => {
    await expect(createTestCluster({ runners: 0 })).rejects.toThrow(ConfigError);
    const ofProduction = { storage: "pglite:" } as object;
    await expect(createTestCluster(ofProduction)).rejects.toThrow('createCluster({ storage: "pglite:" })');
    await expect(createTestCluster({ shardsPerGroup: -1 })).rejects.toThrow(/^Option "shardsPerGroup" is/u);
    await using cluster = await createTestCluster();
    expect(() => cluster.faults({ drop: 2 })).toThrow(
      /^Option "faults.drop" is 2, but it takes a probability/u,
    );
    expect(() => cluster.faults({ delay: ["2s", "1s"] })).toThrow(/^Option "faults.delay"/u);
    expect(() => cluster.faults({ typo: 1 } as object)).toThrow(/there is no such fault/u);
    await expect(cluster.crash(1)).rejects.toThrow(
      /^Option "runner" is 1, but it takes a number from 0 to 0/u,
    );
  });

  it("does not start a runner of a cluster that is shut down, and says so", async () => {
    const cluster = await createTestCluster();
    await cluster.shutdown();
    await expect(cluster.restart(0)).rejects.toThrow(/is shut down: make another one/);
    expect(() => cluster.revive(0)).toThrow(TestClusterError);
  });

  it("restarts runners after a registration that was refused", async () => {
    await using cluster = await createTestCluster({ register: [counter()] });
    expect(() => cluster.register(Counter as never)).toThrow(DefinitionError);
    await cluster.crash(0);
    await cluster.restart(0);
    await expect(cluster.entity(Counter, "c").increment(1)).resolves.toBe(1);
  });

  it.each([true, false])(
    "has calls that are left under way fail after the test has, whose failure they would hide (isPatient: %s)",
    async (isPatient) => {
      const failures: string[] = [];
      const { promise: failed, resolve } = Promise.withResolvers<void>();
      const test = async (): Promise<void> => {
        await using cluster = await createTestCluster({ register: [counter()], isPatient });
        const call = cluster.entity(Counter, "c").wait();
        call.catch((error: Error) => failures.push(error.name)).finally(resolve);
        await cluster.advance("1s");
        throw new Error("an assertion");
      };
      await test().catch((error: Error) => failures.push(error.message));
      await failed;
      expect(failures).toEqual(["an assertion", "InterruptedError"]);
    },
  );

  it("lets handlers end whose own calls fail while it leaves", async () => {
    const Till = defineEntity({ name: "Till", rpcs: { pay: rpc<void, string>({ persisted: true }) } });
    let test: TestCluster | undefined;
    const refusing = Counter.implement({
      increment: () => 0,
      get: () => 0,
      async wait() {
        await test?.sleep(5_000);
        throw new Error("refused");
      },
    });
    const till = Till.implement({
      pay: async () =>
        test
          ?.entity(Counter, "c")
          .wait()
          .then(
            () => "paid",
            ({ message }: Error) => message,
          ) ?? "no cluster",
    });
    const said: string[] = [];
    {
      await using cluster = await createTestCluster({ register: [refusing, till] });
      test = cluster;
      void cluster
        .entity(Till, "t")
        .pay()
        .then(
          (reply) => said.push(reply),
          (error: Error) => said.push(error.name),
        );
      await cluster.advance("1s");
    }
    said.push("left");
    expect(said).toEqual(["refused", "left"]);
  });

  it("fails once where it cannot be left", async () => {
    const Stuck = defineEntity({ name: "Stuck", rpcs: { work: rpc<void, void>({ uninterruptible: true }) } });
    const cluster = await createTestCluster({
      register: [Stuck.implement({ work: () => new Promise<void>(() => undefined) })],
      entityTerminationTimeout: "2 hours",
    });
    void cluster.entity(Stuck, "s").work();
    await cluster.advance("1s");
    const unhandled: unknown[] = [];
    const hear = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", hear);
    onTestFinished(() => void process.off("unhandledRejection", hear));
    await expect(cluster[Symbol.asyncDispose]()).rejects.toThrow(TestClusterError);
    // What nobody handles is told of within a turn.
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(unhandled).toEqual([]);
  });

  it("does not start a runner that runs already", async () => {
    await using cluster = await createTestCluster();
    const error = await cluster.restart(0).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TestClusterError);
    expect(error).toMatchObject({ code: "TEST_CLUSTER", message: "runner-0 runs already: crash it first" });
  });

  it("kills a runner that was revived a moment ago", async () => {
    await using cluster = await createTestCluster({ runners: 2 });
    await cluster.crash(0);
    cluster.revive(0);
    await cluster.crash(0);
    expect(cluster.runners[0]?.isAlive).toBe(false);
  });

  it.each([0, 1, 1_000])("shuts down with a runner that was revived %i ms ago", async (ms) => {
    const cluster = await createTestCluster({ runners: 2 });
    await cluster.crash(0);
    cluster.revive(0);
    if (ms > 0) await cluster.advance(ms);
    await cluster.shutdown();
    expect(cluster.runners.map(({ isAlive }) => isAlive)).toEqual([false, false]);
  });

  it.each([
    { framework: "vitest", fake: undefined },
    // Jest's take microtasks, too.
    { framework: "jest", fake: ["setTimeout", "setImmediate", "Date", "performance", "queueMicrotask"] },
  ] as const)("goes on although the timers of $framework wait to be told", async ({ fake }) => {
    vi.useFakeTimers(fake && { toFake: [...fake] });
    try {
      await using cluster = await createTestCluster({ runners: 2, register: [counter()] });
      // On both runners: calls go over the network.
      const counts = ["a", "b", "c", "d"].map((id) => cluster.entity(Counter, id).increment(1));
      expect(await Promise.all(counts)).toEqual([1, 1, 1, 1]);
      await cluster.crash(0);
      await cluster.advance("1 minute");
      expect(await cluster.entity(Counter, "e").increment(1)).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});
