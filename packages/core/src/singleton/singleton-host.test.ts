import { describe, expect, it, onTestFinished } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { sleep } from "../clock/sleep.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { ShardId } from "../data/shard-id.ts";
import { shardIdFor } from "../sharding/shard-hash.ts";
import { SingletonHost, type SingletonScope } from "./singleton-host.ts";

const SHARD: ShardId = shardIdFor("default", "leader", 300);
const SECOND = 1_000;
const MINUTE = 60_000;

/** A host with one singleton, "leader", and what became of its runs. */
function hostOf(run: (scope: SingletonScope, number: number) => unknown) {
  const clock = new VirtualClock();
  const lease = { isHeld: true };
  const log: string[] = [];
  const write = (level: string) => (message: string) => void log.push(`${level}: ${message}`);
  const logger = { debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") };
  const host = new SingletonHost({
    clock,
    random: new SeededRandom(1, () => clock.now()),
    logger,
    shardsPerGroup: 300,
    crashBackoffBaseMs: SECOND,
    terminationTimeoutMs: 15 * SECOND,
    leaseIsHeld: () => lease.isHeld,
  });
  const scopes: SingletonScope[] = [];
  /** When each run started, in milliseconds since the test did. */
  const starts: number[] = [];
  const register = (): void =>
    host.register({
      name: "leader",
      shardGroup: "default",
      run: (scope) => {
        scopes.push(scope);
        starts.push(clock.monotonic());
        return run(scope, starts.length);
      },
    });
  const acquire = (epoch = 1): void => host.take({ shardId: SHARD, epoch });

  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejections.push(reason);
  process.on("unhandledRejection", onRejection);
  onTestFinished(() => {
    process.off("unhandledRejection", onRejection);
    expect(rejections).toEqual([]);
  });
  return { clock, host, lease, log, scopes, starts, register, acquire };
}

const untilAborted = (scope: SingletonScope): Promise<void> =>
  new Promise((resolve) => scope.signal.addEventListener("abort", () => resolve()));

describe("a singleton", () => {
  it("is not started again once the lease can be over, although its shard has not left yet", async () => {
    const { clock, lease, starts, register, acquire } = hostOf(() => {
      throw new Error("It crashes");
    });
    register();
    acquire();
    await clock.advance(0);
    expect(starts).toEqual([0]);
    lease.isHeld = false;
    await clock.advance(MINUTE);
    expect(starts).toEqual([0]);
    lease.isHeld = true;
    await clock.advance(MINUTE);
    expect(starts.length).toBeGreaterThan(1);
  });

  it("runs when this runner gains its shard, with the shard's fence", async () => {
    const { clock, host, scopes, register, acquire } = hostOf(untilAborted);
    register();
    await clock.advance(MINUTE);
    expect(scopes).toEqual([]);
    acquire(7);
    await clock.settle();
    expect(scopes[0]?.fence).toEqual({ shardId: SHARD, epoch: 7 });
    expect(host.running).toEqual(["leader"]);
  });

  it("does not run for another shard", async () => {
    const { clock, host, starts, register } = hostOf(untilAborted);
    register();
    host.take({ shardId: "other:1", epoch: 1 });
    await clock.settle();
    expect(starts).toEqual([]);
  });

  it("runs when it is registered on the owner of its shard", async () => {
    const { clock, starts, register, acquire } = hostOf(untilAborted);
    acquire();
    await clock.settle();
    register();
    await clock.settle();
    expect(starts).toEqual([0]);
  });

  it("does not start again when its shard is announced twice", async () => {
    const { clock, starts, scopes, register, acquire } = hostOf(untilAborted);
    register();
    acquire();
    acquire();
    await clock.advance(MINUTE);
    expect(starts).toEqual([0]);
    expect(scopes[0]?.signal.aborted).toBe(false);
  });
});

describe("a singleton whose shard leaves", () => {
  it("is aborted before anything else happens, and waited for", async () => {
    const { clock, host, log, scopes, register, acquire } = hostOf(async (scope) => {
      await untilAborted(scope);
      await sleep(clock, 3 * SECOND);
    });
    register();
    acquire();
    await clock.settle();
    let dropped = false;
    let ended = false;
    const dropping = host.drain(SHARD).then(() => (dropped = true));
    const ending = host.ended().then(() => (ended = true));
    expect(scopes[0]?.signal.aborted).toBe(true);
    await clock.advance(2 * SECOND);
    expect([dropped, ended, host.isStopping(SHARD)]).toEqual([false, false, true]);
    await clock.advance(SECOND);
    await Promise.all([dropping, ending]);
    expect(host.isStopping(SHARD)).toBe(false);
    expect(log).toEqual([]);
    expect(host.running).toEqual([]);
    expect(clock.pending()).toBe(0);
  });

  it("is not started again", async () => {
    const { clock, host, starts, register, acquire } = hostOf(untilAborted);
    register();
    acquire();
    await clock.settle();
    await host.drain(SHARD);
    await clock.advance(10 * MINUTE);
    expect(starts).toEqual([0]);
  });

  it("is not started where it is registered after that", async () => {
    const { clock, host, starts, register, acquire } = hostOf(untilAborted);
    acquire();
    await host.drain(SHARD);
    register();
    await clock.advance(MINUTE);
    expect(starts).toEqual([]);
  });

  it("is not started at all when the shard leaves at once", async () => {
    const { clock, host, starts, register, acquire } = hostOf(untilAborted);
    register();
    acquire();
    await host.drain(SHARD);
    await clock.advance(MINUTE);
    expect(starts).toEqual([]);
  });

  it("is left behind after the termination timeout, which the log says", async () => {
    const { clock, host, log, register, acquire } = hostOf(() => new Promise(() => {}));
    register();
    acquire();
    await clock.settle();
    const dropping = host.drain(SHARD);
    await clock.advance(15 * SECOND);
    await dropping;
    expect(host.isStopping(SHARD)).toBe(false);
    expect(log).toEqual([
      expect.stringContaining('error: The singleton "leader" goes on 15000 ms after its signal was aborted'),
    ]);
  });

  it("never runs twice at once here when the shard comes back before it has ended (G2)", async () => {
    let running = 0;
    let most = 0;
    const { clock, host, starts, register, acquire } = hostOf(async (scope) => {
      running += 1;
      most = Math.max(most, running);
      await untilAborted(scope);
      await sleep(clock, 40 * SECOND);
      running -= 1;
    });
    register();
    acquire(1);
    await clock.settle();
    void host.drain(SHARD);
    await clock.advance(20 * SECOND);
    acquire(2);
    await clock.advance(19 * SECOND);
    expect(starts).toEqual([0]);
    await clock.advance(2 * SECOND);
    expect(starts).toEqual([0, 40 * SECOND]);
    expect(most).toBe(1);
  });

  it("starts once with the last fence when the shard comes and goes meanwhile", async () => {
    const { clock, host, scopes, register, acquire } = hostOf(async (scope) => {
      await untilAborted(scope);
      await sleep(clock, SECOND);
    });
    register();
    for (const epoch of [1, 2, 3]) {
      acquire(epoch);
      if (epoch === 1) await clock.settle();
      if (epoch < 3) void host.drain(SHARD);
    }
    await clock.advance(MINUTE);
    expect(scopes.map((scope) => scope.fence.epoch)).toEqual([1, 3]);
  });

  it("is started anew when its shard was claimed again without leaving", async () => {
    const { clock, scopes, register, acquire } = hostOf(untilAborted);
    register();
    acquire(1);
    await clock.settle();
    acquire(2);
    await clock.settle();
    expect(scopes.map((scope) => [scope.fence.epoch, scope.signal.aborted])).toEqual([
      [1, true],
      [2, false],
    ]);
  });
});

describe("a singleton that ends by itself", () => {
  it("is started again after a pause that doubles with each crash, up to a minute", async () => {
    const { clock, starts, log, register, acquire } = hostOf(() => {
      throw new Error("no luck");
    });
    register();
    acquire();
    await clock.advance(4 * MINUTE);
    const pauses = starts.slice(1).map((start, index) => (start - (starts[index] ?? 0)) / SECOND);
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect(log).toHaveLength(starts.length);
    expect(log[0]).toBe("error: A singleton crashed and is started again");
  });

  it("is started again whatever it throws, or rejects with", async () => {
    const thrown: unknown[] = [null, undefined, "text", Object.create(null), new Error("an error")];
    const { clock, starts, register, acquire } = hostOf((_scope, number) =>
      Promise.reject(thrown[number - 1]),
    );
    register();
    acquire();
    await clock.advance(16 * SECOND);
    expect(starts.length).toBeGreaterThanOrEqual(thrown.length);
  });

  it("begins with the shortest pause again after it has run for a minute", async () => {
    const { clock, starts, register, acquire } = hostOf(async (_scope, number) => {
      if (number === 4) await sleep(clock, MINUTE);
      throw new Error("no luck");
    });
    register();
    acquire();
    await clock.advance(70 * SECOND);
    // Three crashes, a minute's run from second 7 on, and a crash.
    expect(starts.slice(0, 6)).toEqual([0, 1, 3, 7, 68, 70].map((second) => second * SECOND));
  });

  it("is started again after the shortest pause when it returns", async () => {
    const { clock, starts, log, register, acquire } = hostOf(() => {});
    register();
    acquire();
    await clock.advance(5 * SECOND);
    expect(starts).toEqual([0, 1, 2, 3, 4, 5].map((second) => second * SECOND));
    expect(log).toEqual([]);
  });

  it("does not keep its shard waiting while it pauses", async () => {
    const { clock, host, register, acquire } = hostOf(() => {
      throw new Error("no luck");
    });
    register();
    acquire();
    await clock.settle();
    await host.drain(SHARD);
    expect(clock.pending()).toBe(0);
  });
});
