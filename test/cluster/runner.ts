// One runner process of a cluster under test, wired by HOLDFAST_STORAGE, HOLDFAST_RUNNERS and HOLDFAST_TRANSPORT. Ends in
// order at SIGTERM, and at once when its parent is gone.

import { createCluster } from "@holdfast/core";
import pg from "pg";
import { machineNow } from "./clock.ts";
import { registrations } from "./handlers.ts";
import type { FromRunner, ToRunner } from "./runner-messages.ts";
import { SETTINGS } from "./settings.ts";
import { comeFrom } from "./source-address.ts";

const address = process.env["FAULTS_ADDRESS"];
if (address !== undefined) comeFrom(address);

const tell = (message: FromRunner): void => void process.send?.(message);

const pool = new pg.Pool({
  connectionString: process.env["HOLDFAST_STORAGE"],
  max: 4,
  connectionTimeoutMillis: 2_000,
});
pool.on("error", () => undefined);

const cluster = await createCluster({ ...SETTINGS, register: registrations(pool) });
cluster.events.on("shardAcquired", ({ shardId }) => tell({ type: "acquired", shardId, at: machineNow() }));
cluster.events.on("shardLost", ({ shardId, reason }) =>
  tell({ type: "lost", shardId, reason, at: machineNow() }),
);

process.once("SIGTERM", () => {
  void (async () => {
    await cluster.shutdown();
    await pool.end();
    process.exit(0);
  })();
});
process.once("disconnect", () => process.exit(0));
process.on("message", (message: ToRunner) => {
  if (message.type === "metrics") tell({ type: "metrics", metrics: cluster.metrics.snapshot() });
});
await cluster.start();
tell({ type: "started", address: cluster.status().address });
