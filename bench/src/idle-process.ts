// A process that does nothing, with a runner on the PostgreSQL that it is given, or bare: prints its resident size.

import { setTimeout as sleep } from "node:timers/promises";

const [url = ""] = process.argv.slice(2);
/** Until what starting took is given back. */
const IDLE_MS = 1_000;

if (url !== "") {
  const { createCluster } = await import("@holdfast/core");
  const { postgres } = await import("@holdfast/storage-postgres");
  const cluster = await createCluster({
    storage: postgres({ connectionString: url }),
    shardRebalanceDebounce: 0,
  });
  await cluster.start();
}
await sleep(IDLE_MS);
(globalThis as { gc?: () => void }).gc?.();
await sleep(IDLE_MS / 5);
process.stdout.write(`${process.memoryUsage().rss}\n`, () => process.exit());
