import { createCluster } from "@holdfast/core";
import { Echo, echo, PAYLOAD } from "./definitions.ts";
import { settledMemory } from "./heap.ts";

/** Bytes of heap that an idle entity without state costs while it is in memory. */
export async function heapPerEntity(count: number): Promise<number> {
  await using cluster = await createCluster({
    register: [echo],
    shardRebalanceDebounce: 0,
    entityMaxIdleTime: "1 hour",
  });
  await cluster.start();
  await cluster.entity(Echo, "warm").volatile(PAYLOAD);
  const before = await settledMemory();
  for (let index = 0; index < count; index += 1)
    await cluster.entity(Echo, `resident-${index}`).volatile("x");
  const after = await settledMemory();
  return (after.heap - before.heap) / count;
}
