import { expect, it } from "vitest";
import { createTestCluster } from "../test-cluster.ts";
import { FaultDriver } from "./fault-driver.ts";

it("a deploy that is over before its runner has left brings it back", async () => {
  await using cluster = await createTestCluster({ runners: 2 });
  const driver = new FaultDriver(cluster);
  const plan = [{ atMs: 0, forMs: 1, fault: { kind: "deploy", runner: 0 } }] as const;
  for (const { act } of driver.changesOf(plan)) await act();
  expect(cluster.runners[0]?.shardsOwned).toBe(150);
  await cluster.advance("30s");
  expect(cluster.runners.map(({ isAlive }) => isAlive)).toEqual([true, true]);
  expect(cluster.runners.map(({ shardsOwned }) => shardsOwned)).toEqual([150, 150]);
});
