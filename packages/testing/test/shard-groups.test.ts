// Shard groups that no runner hosts: what is registered for them waits, and is told of.

import { defineCron, defineEntity, defineSingleton, rpc, type Registration } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

function cleanup(shardGroup: string, fired: string[]): Registration {
  return defineCron({
    name: "cleanup",
    schedule: "*/10 * * * *",
    shardGroup,
    run: (scheduledTime) => void fired.push(scheduledTime.toISOString().slice(11, 16)),
  });
}

describe("a cron that was moved to another shard group", () => {
  it("goes on there, although nobody hosts the one where its next tick waits", async () => {
    const fired: string[] = [];
    let group = "reports";
    await using cluster = await createTestCluster({
      startAt: new Date("2031-03-01T00:05:00Z"),
      perRunner: () => ({
        get register() {
          return [cleanup(group, fired)];
        },
        get shardGroups() {
          return [group];
        },
      }),
    });
    await cluster.advance("10 minutes");
    expect(fired).toEqual(["00:10"]);

    await cluster.crash(0);
    group = "default";
    await cluster.restart(0);
    await cluster.advance("60 minutes");
    expect(fired.slice(-3)).toEqual(["00:50", "01:00", "01:10"]);
    expect(new Set(fired).size).toBe(fired.length);
  });
});

describe("a cron that moves to another shard group while its old one is hosted still", () => {
  it("never runs twice at a time", async () => {
    let running = 0;
    let most = 0;
    const pay = (shardGroup: string): Registration =>
      defineCron({
        name: "pay",
        schedule: "* * * * *",
        shardGroup,
        async run() {
          running += 1;
          most = Math.max(most, running);
          await cluster.sleep(300_000);
          running -= 1;
        },
      });
    const cluster = await createTestCluster({
      runners: 2,
      perRunner: (index) => {
        const group = index === 0 ? "reports" : "default";
        return { register: [pay(group)], shardGroups: [group] };
      },
    });
    await cluster.advance("20 minutes");
    expect(most).toBe(1);
    await cluster.shutdown();
  });
});

describe("what is registered for a shard group that no runner hosts", () => {
  const Gpu = defineEntity({ name: "Gpu", shardGroup: "gpu", rpcs: { render: rpc<void, string>() } });
  const gpu = Gpu.implement({ render: () => "rendered" });
  const leader = defineSingleton({ name: "leader", shardGroup: "gpu", run: async () => undefined });

  it("is named by health(), until one does", async () => {
    await using cluster = await createTestCluster({
      runners: 2,
      register: [gpu, leader, cleanup("default", [])],
      perRunner: (index) => ({ shardGroups: index === 0 ? ["default"] : ["default", "gpu"] }),
    });
    const served = () => cluster.runners[0]?.health().checks.served;
    expect(served()).toEqual({ ok: true, detail: "all" });

    await cluster.crash(1);
    await cluster.advance("1 minute");
    expect(served()).toEqual({
      ok: false,
      detail: 'no runner hosts the shard group "gpu" of entity "Gpu", singleton "leader"',
    });
    expect(cluster.runners[0]?.health().ready).toBe(true);

    await cluster.restart(1);
    await cluster.advance("10s");
    expect(served()).toEqual({ ok: true, detail: "all" });
    await expect(cluster.entity(Gpu, "g").render()).resolves.toBe("rendered");
  });

  it("is told to the log where a runner starts, or registers it", async () => {
    const warnings: unknown[] = [];
    const write = (): void => undefined;
    await using cluster = await createTestCluster({
      register: [gpu],
      logger: { debug: write, info: write, error: write, warn: (_, fields) => void warnings.push(fields) },
    });
    cluster.register(leader);
    expect(warnings).toMatchObject([
      { shardGroup: "gpu", registered: ['entity "Gpu"'] },
      { shardGroup: "gpu", registered: ['singleton "leader"'] },
    ]);
  });
});
