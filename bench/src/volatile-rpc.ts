import { createCluster, createMemoryBackend } from "@holdfast/core";
import { Echo, echo, PAYLOAD } from "./definitions.ts";
import { measure, report } from "./rounds.ts";

/** Volatile rpcs within one process, beside a map of functions that return promises. */
export async function volatileRpc(): Promise<void> {
  const backend = createMemoryBackend();
  const member = () =>
    createCluster({
      storage: backend.storage,
      runners: backend.runners,
      transport: backend.transport(),
      register: [echo],
      shardRebalanceDebounce: 0,
      entityMailboxCapacity: 10_000,
    });
  await using one = await member();
  await one.start();
  const handlers = new Map([["volatile", async (text: string) => text]]);
  const entities = Array.from({ length: 64 }, (_, index) => one.entity(Echo, `e${index}`));
  const measured = await measure([
    { name: "a Map and a promise", concurrency: 64, run: async () => handlers.get("volatile")?.(PAYLOAD) },
    {
      name: "a Map, a promise and JSON both ways",
      concurrency: 64,
      run: async () =>
        JSON.parse(JSON.stringify(await handlers.get("volatile")?.(JSON.parse(JSON.stringify(PAYLOAD))))),
    },
    {
      name: "volatile rpc, one runner",
      concurrency: 64,
      run: (index) => entities[index % 64]?.volatile(PAYLOAD) ?? Promise.resolve(),
    },
    {
      name: "volatile rpc, with a timeout",
      concurrency: 64,
      run: (index) => entities[index % 64]?.volatile(PAYLOAD, { timeout: 5_000 }) ?? Promise.resolve(),
    },
    {
      name: "persisted rpc, memory storage",
      concurrency: 64,
      run: (index) => entities[index % 64]?.persisted(PAYLOAD) ?? Promise.resolve(),
    },
  ]);
  report("Volatile rpc in one process (baseline: a Map and a promise)", measured);
  await heapPerEntity();
}

/** What an idle entity costs while it is in memory. */
async function heapPerEntity(): Promise<void> {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) return;
  const count = 20_000;
  await using cluster = await createCluster({
    register: [echo],
    shardRebalanceDebounce: 0,
    entityMaxIdleTime: "1 hour",
  });
  await cluster.start();
  await cluster.entity(Echo, "warm").volatile(PAYLOAD);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < count; index += 1)
    await cluster.entity(Echo, `resident-${index}`).volatile("x");
  collect();
  const perEntity = (process.memoryUsage().heapUsed - before) / count;
  console.log(`Heap per idle resident entity without state: ${Math.round(perEntity)} B (${count} entities)`);
}
