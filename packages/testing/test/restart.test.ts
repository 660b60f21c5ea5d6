// Runners that were killed and are started again at the addresses where they were.

import { defineEntity, rpc } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Echo = defineEntity({
  name: "Echo",
  rpcs: { say: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
});
const echo = Echo.implement({ say: (text: string) => text, keep: (text: string) => text });

const owned = (cluster: TestCluster): readonly number[] =>
  cluster.runners.map(({ shardsOwned }) => shardsOwned);

describe("runners that are killed, all at once, and started again", () => {
  it("own all shards within the debounce and a second, and what was accepted is answered", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo] });
    const kept = Array.from({ length: 20 }, (_, n) => cluster.entity(Echo, `e${n}`).keep(`${n}`));
    for (const index of [0, 1, 2]) await cluster.crash(index);
    const began = cluster.now();
    await Promise.all([0, 1, 2].map((index) => cluster.restart(index)));
    // runnerLockTtl is 30s, shardRebalanceDebounce 3s
    expect(cluster.now() - began).toBeLessThan(4_000);
    expect(owned(cluster)).toEqual([100, 100, 100]);
    expect(cluster.status().runners.filter(({ role }) => role === "runner")).toHaveLength(3);
    await cluster.advance("5s");
    await expect(Promise.all(kept)).resolves.toEqual(Array.from({ length: 20 }, (_, n) => `${n}`));
  });
});
