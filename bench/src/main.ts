// Measures what Holdfast costs beside the raw limit, all in one run. See bench/README.md.

import { cpus } from "node:os";
import { countAtPostgres, reportCounts } from "./counts.ts";
import { pgliteDatabase, postgresDatabase } from "./databases.ts";
import { durable } from "./durable.ts";
import { ROUND_MS, ROUNDS } from "./rounds.ts";
import { volatileRpc } from "./volatile-rpc.ts";

console.log(
  `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${ROUNDS} rounds of ${ROUND_MS} ms`,
);
if (process.argv.includes("counts")) {
  reportCounts(await countAtPostgres(20_000));
  process.exit();
}
await volatileRpc();
await durable(await pgliteDatabase("memory"));
await durable(await pgliteDatabase("folder"));
try {
  await durable(await postgresDatabase());
} catch (error) {
  console.warn(`PostgreSQL was not measured: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
