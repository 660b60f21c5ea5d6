// Runners that are members and cannot be reached over the transport, from some or from all of the others.

import { defineEntity, rpc, type HandlerContext } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

/** The pauses between the tries of a volatile request: sendRetryCount is 3. */
const TRIES_MS = 100 + 300 + 900;

const Echo = defineEntity({
  name: "Echo",
  rpcs: { say: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
});
const echo = Echo.implement({ say: (text: string) => text, keep: (text: string) => text });

/** Calls others from where it lives, and says how it went and how long that took, in milliseconds. */
const Relay = defineEntity({
  name: "Relay",
  concurrency: 0,
  rpcs: {
    say: rpc<string, string>(),
    keep: rpc<string, string>(),
  },
});

function relay(now: () => number) {
  const tell = async (call: () => Promise<string>): Promise<string> => {
    const began = now();
    try {
      return await call();
    } catch (error) {
      const { code, retryable } = error as { code: string; retryable: boolean };
      return `${code} ${retryable ? "retryable" : "final"} after ${now() - began}`;
    }
  };
  return Relay.implement({
    say: (to: string, ctx: HandlerContext) => tell(() => ctx.entity(Echo, to).say("said")),
    keep: (to: string, ctx: HandlerContext) => tell(() => ctx.entity(Echo, to).keep("kept")),
  });
}

/** An entity of runner `index`, among those with these names. */
function nameOn(cluster: TestCluster, index: number, prefix: string): string {
  const parts = cluster.runners[index]?.member.parts;
  for (let n = 0; ; n += 1) {
    const shardId = parts?.router.shardOf("default", `${prefix}${n}`);
    if (shardId !== undefined && parts?.host.serves(shardId) === true) return `${prefix}${n}`;
  }
}

async function start(): Promise<TestCluster> {
  let now = (): number => 0;
  const cluster = await createTestCluster({ runners: 3, register: [echo, relay(() => now())] });
  now = () => cluster.now();
  return cluster;
}

const reachable = (cluster: TestCluster, index: number): Readonly<Record<string, boolean>> =>
  Object.fromEntries(
    cluster
      .status(index)
      .runners.filter(({ role }) => role === "runner")
      .map(({ address, reachable: answers }) => [address, answers]),
  );

describe("a runner that is a member and does not answer", () => {
  it("shows in status and health of those who cannot reach it, who stay ready", async () => {
    await using cluster = await start();
    cluster.partition([0], [1, 2]);
    await cluster.advance("10s");
    expect(reachable(cluster, 0)).toEqual({ "runner-0": true, "runner-1": false, "runner-2": false });
    expect(reachable(cluster, 1)).toEqual({ "runner-0": false, "runner-1": true, "runner-2": true });
    expect(cluster.health(0)).toMatchObject({
      ready: true,
      checks: {
        transport: { ok: false, detail: "listens at runner-0; 0 of 2 runners answer" },
        peers: { ok: false, detail: "no answer from runner-1, runner-2" },
      },
    });
    expect(cluster.health(1)).toMatchObject({
      ready: true,
      checks: { transport: { ok: true }, peers: { ok: false, detail: "no answer from runner-0" } },
    });
    cluster.heal();
    await cluster.advance("10s");
    for (const index of [0, 1, 2]) {
      expect(Object.values(reachable(cluster, index))).toEqual([true, true, true]);
      expect(cluster.health(index).checks).toMatchObject({ transport: { ok: true }, peers: { ok: true } });
    }
  });

  it("gets persisted requests by way of storage; volatile ones fail after their tries, and may be repeated", async () => {
    await using cluster = await start();
    const [here, there] = [nameOn(cluster, 0, "relay"), nameOn(cluster, 1, "echo")];
    cluster.partition([0], [1]);
    await cluster.advance("10s");
    await expect(cluster.entity(Relay, here).say(there)).resolves.toBe(
      `RUNNER_UNAVAILABLE retryable after ${TRIES_MS}`,
    );
    await expect(cluster.entity(Relay, here).keep(there)).resolves.toBe("kept");
    await expect(cluster.entity(Relay, here).say(nameOn(cluster, 2, "echo"))).resolves.toBe("said");
    cluster.heal();
    await cluster.advance("10s");
    await expect(cluster.entity(Relay, here).say(there)).resolves.toBe("said");
  });

  it.each([
    ["what it sends", [1], [0]],
    ["what is sent to it", [0], [1]],
  ] as const)(
    "keeps its shards for as long as its lease is refreshed, although %s is lost",
    async (_what, from, to) => {
      await using cluster = await start();
      const moved: string[] = [];
      cluster.events.on("shardLost", ({ shardId }) => moved.push(shardId));
      const [here, there] = [nameOn(cluster, 0, "relay"), nameOn(cluster, 1, "echo")];
      cluster.cut(from, to);
      await cluster.advance("10 minutes");
      expect(moved).toEqual([]);
      await expect(cluster.entity(Echo, there).say("from elsewhere")).resolves.toBe("from elsewhere");
      await expect(cluster.entity(Relay, here).keep(there)).resolves.toBe("kept");
      await expect(cluster.entity(Relay, here).say(there)).resolves.toBe(
        `RUNNER_UNAVAILABLE retryable after ${TRIES_MS}`,
      );
    },
  );

  it("is followed by others as soon as its lease is over", async () => {
    await using cluster = await start();
    const there = nameOn(cluster, 1, "echo");
    await cluster.crash(1);
    const lost = cluster.now();
    let acquired = 0;
    cluster.events.on("shardAcquired", () => (acquired = cluster.now()));
    await cluster.advance("40s");
    // runnerLockTtl is 30s
    expect(acquired - lost).toBeLessThan(31_000);
    await expect(cluster.entity(Echo, there).say("hello")).resolves.toBe("hello");
  });

  it("fails no volatile request that is still being tried when its shard has its next owner", async () => {
    await using cluster = await start();
    const [here, there] = [nameOn(cluster, 0, "relay"), nameOn(cluster, 1, "echo")];
    await cluster.crash(1);
    await cluster.advance("5s");
    let began = 0;
    let outcome = "";
    const failures: string[] = [];
    let acquired = Number.POSITIVE_INFINITY;
    cluster.events.on("shardAcquired", () => (acquired = Math.min(acquired, cluster.now())));
    while (outcome !== "said") {
      if (outcome !== "") failures.push(outcome);
      began = cluster.now();
      outcome = await cluster.entity(Relay, here).say(there);
    }
    expect(new Set(failures)).toEqual(new Set([`RUNNER_UNAVAILABLE retryable after ${TRIES_MS}`]));
    expect(began).toBeLessThan(acquired);
  });
});
