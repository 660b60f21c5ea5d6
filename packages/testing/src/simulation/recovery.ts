// Recovery: how a cluster comes to rest once its faults are over, and whether it does.

import type { TestCluster } from "../test-cluster.ts";

/** So long work may take to end once all is mended, and then the cluster to be whole; and as long as its own times ask for. */
const REST_MS = 300_000;
const STEP_MS = 1_000;

/** Lets time pass until it is so, and starts whatever is down meanwhile. Returns whether it came to that. */
export async function comesTo(cluster: TestCluster, isSo: () => boolean, withinMs: number): Promise<boolean> {
  for (let passed = 0; passed < withinMs && !isSo(); passed += STEP_MS) {
    for (const [index, runner] of cluster.runners.entries()) if (!runner.isAlive) cluster.revive(index);
    await cluster.advance(STEP_MS);
  }
  return isSo();
}

/** How long it may take until shards have their owners: a scenario may ask for leases and drains that outlast any other limit. */
export function recoveryOf(cluster: TestCluster): number {
  const settings = cluster.runners.map(({ member }) => member.settings);
  const longest = Math.max(
    ...settings.map(
      (each) => each.runnerLockTtlMs + each.shardRebalanceDebounceMs + each.entityTerminationTimeoutMs,
    ),
  );
  return REST_MS + 2 * longest;
}

/** Every runner is up, and every shard has its owner. */
export function isWhole(cluster: TestCluster): boolean {
  return cluster.runners.every((runner) => runner.isAlive) && ownedIn(cluster) >= shardsOf(cluster);
}

/** For the message. */
export function describeRecovery(cluster: TestCluster): string {
  const { runners } = cluster;
  const up = runners.filter((runner) => runner.isAlive).length;
  return `${ownedIn(cluster)} of ${shardsOf(cluster)} shards have an owner, and ${up} of ${runners.length} runners are up`;
}

/** What work may wait for although everybody is well: code or a shard group that no runner has. Empty: nothing of the kind. */
export function describeUnserved({ runners }: TestCluster): string {
  const checks = runners.filter(({ isAlive }) => isAlive).map((runner) => runner.health().checks.served);
  return [...new Set(checks.filter(({ ok }) => !ok).map(({ detail }) => `; ${detail}`))].join("");
}

function ownedIn(cluster: TestCluster): number {
  return cluster.runners.reduce((sum, runner) => sum + runner.shardsOwned, 0);
}

function shardsOf(cluster: TestCluster): number {
  return cluster.status(0).shards.total;
}
