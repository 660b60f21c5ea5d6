import { defineCron, defineEntity, defineSingleton, rpc, type CronContext } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Echo = defineEntity({
  name: "Echo",
  rpcs: { say: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
});
const echo = Echo.implement({ say: (text: string) => text, keep: (text: string) => text });

function owned(cluster: TestCluster): readonly number[] {
  return cluster.runners.map((runner) => (runner.isAlive ? runner.status().shards.owned : 0));
}

describe("shards", () => {
  it("are spread evenly, and each is owned once", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    expect(owned(cluster)).toEqual([100, 100, 100]);
  });

  it("are spread by weight", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo], runnerWeight: 3 });
    expect(owned(cluster)).toEqual([150, 150]);
  });

  it("of a crashed runner go to the others after its lease, and come back when it does", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    await cluster.crash(1);
    await cluster.advance("10s");
    expect(owned(cluster)).toEqual([100, 0, 100]);
    await cluster.advance("40s");
    expect(owned(cluster)).toEqual([150, 0, 150]);
    await cluster.restart(1);
    await cluster.advance("20s");
    expect(owned(cluster)).toEqual([100, 100, 100]);
  });

  it("move without a failed call when a runner leaves in order", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    const failures: unknown[] = [];
    const test = { isOver: false };
    let answered = 0;
    const caller = async (number: number): Promise<void> => {
      for (let call = 0; !test.isOver; call += 1) {
        const text = `${number}/${call}`;
        const entity = cluster.entity(Echo, `e${(number * 7 + call) % 50}`);
        await (call % 2 === 0 ? entity.say(text) : entity.keep(text)).then(
          (reply) => {
            expect(reply).toBe(text);
            answered += 1;
          },
          (error: unknown) => failures.push(error),
        );
        await Promise.resolve();
        // Each caller pauses, so that virtual time goes on.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    };
    const callers = Array.from({ length: 8 }, (_, number) => caller(number));
    await cluster.advance("1s");
    const leaving = cluster.runners[1]?.shutdown();
    await cluster.advance("10s");
    await leaving;
    await cluster.advance("5s");
    test.isOver = true;
    await cluster.advance("10s");
    await Promise.all(callers);
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(100);
    expect(owned(cluster)).toEqual([150, 0, 150]);
  });

  it("are given up by a paused runner before it serves again, and it joins anew by itself", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [echo] });
    const before = cluster.runners[0]?.member.parts.lease.runnerId;
    await cluster.pause(0);
    await cluster.advance("1 minute");
    await cluster.resume(0);
    expect(cluster.runners[0]?.health().ready).toBe(false);
    await cluster.advance("1 minute");
    expect(owned(cluster)).toEqual([150, 150]);
    expect(cluster.runners[0]?.member.parts.lease.runnerId).not.toBe(before);
    expect(cluster.runners[0]?.health()).toMatchObject({ live: true, ready: true });
  });

  it("are given up and taken back by a runner that detaches while storage fails", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [echo], detachmentEnabled: true });
    const events: string[] = [];
    cluster.runners[0]?.member.events
      .on("detached", () => events.push("detached"))
      .on("attached", () => events.push("attached"));
    cluster.faults({ storageErrorBeforeCommit: 1 });
    await cluster.advance("30s");
    expect(cluster.runners[0]?.status()).toMatchObject({ detached: true, shards: { owned: 0 } });
    cluster.faults({});
    await cluster.advance("30s");
    expect(cluster.runners[0]?.status()).toMatchObject({ detached: false, shards: { owned: 300 } });
    expect(events).toEqual(["detached", "attached"]);
    await expect(cluster.entity(Echo, "a").say("back")).resolves.toBe("back");
  });

  it("of other groups belong to the runners that serve them", async () => {
    const Far = defineEntity({ name: "Far", shardGroup: "far", rpcs: { say: rpc<string, string>() } });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [echo, Far.implement({ say: (text: string) => text })],
      shardGroups: ["default", "far"],
    });
    expect(owned(cluster)).toEqual([300, 300]);
    await expect(cluster.entity(Far, "f").say("far")).resolves.toBe("far");
  });
});

describe("a partition between runners", () => {
  it("keeps no persisted request from being answered", async () => {
    const Relay = defineEntity({ name: "Relay", rpcs: { relay: rpc<string, string>({ persisted: true }) } });
    const relay = Relay.implement({
      relay: (to: string, ctx) => ctx.entity(Echo, to).keep(`to ${to}`, { idempotencyKey: `relay-${to}` }),
    });
    await using cluster = await createTestCluster({ runners: 3, register: [echo, relay] });
    cluster.partition([0], [1, 2]);
    cluster.partition([1], [2]);
    const names = Array.from({ length: 12 }, (_, n) => `n${n}`);
    const replies = Promise.all(names.map((name) => cluster.entity(Relay, `r-${name}`).relay(name)));
    await cluster.advance("30s");
    await expect(replies).resolves.toEqual(names.map((name) => `to ${name}`));
    cluster.heal();
  });
});

describe("a singleton", () => {
  it("runs on one runner at a time, and on another one when that dies", async () => {
    const running = new Set<number>();
    let most = 0;
    let started = 0;
    const leader = defineSingleton({
      name: "leader",
      async run(ctx) {
        started += 1;
        const id = started;
        running.add(id);
        most = Math.max(most, running.size);
        await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
        running.delete(id);
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [leader] });
    expect(started).toBe(1);
    const owner = cluster.runners.findIndex((runner) =>
      runner.member.parts.registry.runningSingletons.includes("leader"),
    );
    await cluster.crash(owner);
    // Its process is gone, and with it what ran there.
    running.clear();
    await cluster.advance("20s");
    expect(started).toBe(1);
    await cluster.advance("30s");
    expect(started).toBe(2);
    expect(most).toBe(1);
  });

  it("that crashes is started again, each time later", async () => {
    const starts: number[] = [];
    let now: () => number = () => 0;
    const broken = defineSingleton({
      name: "broken",
      async run() {
        starts.push(now());
        throw new Error("it broke");
      },
    });
    await using cluster = await createTestCluster({ register: [broken], singletonCrashBackoffBase: "1s" });
    now = () => cluster.now();
    starts.length = 0;
    await cluster.advance("1 minute");
    const pauses = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
    expect(starts.length).toBeGreaterThan(3);
    expect(pauses.every((pause, index) => index === 0 || pause >= (pauses[index - 1] ?? 0))).toBe(true);
  });
});

describe("a cron", () => {
  it("fires at each instant once, over the crash of its runner", async () => {
    const fired: string[] = [];
    const minutely = defineCron({
      name: "minutely",
      schedule: "* * * * *",
      async run(scheduledTime: Date, ctx: CronContext) {
        fired.push(scheduledTime.toISOString().slice(11, 16));
        ctx.log.info("ran");
      },
    });
    await using cluster = await createTestCluster({
      runners: 3,
      register: [minutely],
      startAt: new Date("2031-03-01T00:00:10Z"),
    });
    await cluster.advance("5 minutes");
    expect(fired).toEqual(["00:01", "00:02", "00:03", "00:04", "00:05"]);
    const owner = cluster.runners.findIndex((runner) => (runner.metrics.snapshot()["succeeded"] ?? 0) > 0);
    await cluster.crash(owner);
    await cluster.advance("5 minutes");
    expect(fired.length).toBe(new Set(fired).size);
    expect(fired.slice(-3)).toEqual(["00:08", "00:09", "00:10"]);
  });

  it.each([
    ["its runner's clock was far ahead for a while", false],
    ["the clock of a runner was far ahead that had lost its shard before", true],
  ])("goes on at its instants after %s", async (_what, hadLost) => {
    let fired = 0;
    const minutely = defineCron({ name: "minutely", schedule: "* * * * *", run: () => void (fired += 1) });
    await using cluster = await createTestCluster({ runners: 1, register: [minutely] });
    if (hadLost) {
      await cluster.pause(0);
      await cluster.advance("40s"); // runnerLockTtl is 30s
      await cluster.resume(0);
      await cluster.advance("1 minute");
    }
    cluster.skew(0, "1 hour");
    await cluster.advance("90s");
    cluster.skew(0, 0);
    await cluster.advance("2 minutes");
    fired = 0;
    await cluster.advance("3 minutes");
    expect(fired).toBe(3);
  });

  it("goes by its time zone, also when clocks change", async () => {
    const fired: string[] = [];
    const breakfast = defineCron({
      name: "breakfast",
      schedule: "0 8 * * *",
      timeZone: "Europe/Paris",
      run: (scheduledTime: Date) => void fired.push(scheduledTime.toISOString()),
    });
    // Paris goes from UTC+1 to UTC+2 on 2031-03-30.
    await using cluster = await createTestCluster({
      register: [breakfast],
      startAt: new Date("2031-03-28T12:00:00Z"),
      storagePollInterval: "1 minute",
      runnerLockTtl: "1 hour",
      shardsPerGroup: 10,
    });
    await cluster.advance("3 days");
    expect(fired).toEqual([
      "2031-03-29T07:00:00.000Z",
      "2031-03-30T06:00:00.000Z",
      "2031-03-31T06:00:00.000Z",
    ]);
  });
});
