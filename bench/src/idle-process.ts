// A process that does nothing, with a runner on the PostgreSQL that it is given, or bare: prints its resident size.

import { setTimeout as sleep } from "node:timers/promises";

const [url = ""] = process.argv.slice(2);
/** Until what starting took is given back. */
const IDLE_MS = 1_000;

const runner = url === "" ? null : await startRunner(url);
await sleep(IDLE_MS);
(globalThis as { gc?: () => void }).gc?.();
await sleep(IDLE_MS / 5);
const resident = process.memoryUsage.rss();
// The next one would wait for the shards of a runner that just went.
await runner?.shutdown();
process.stdout.write(`${resident}\n`, () => process.exit());

async function startRunner(connectionString: string): Promise<{ shutdown(): Promise<void> }> {
  // Imported here: a bare process has none of it.
  const { createCluster } = await import("@holdfast/core");
  const { postgres } = await import("@holdfast/storage-postgres");
  const cluster = await createCluster({ storage: postgres({ connectionString }), shardRebalanceDebounce: 0 });
  await cluster.start();
  return cluster;
}
