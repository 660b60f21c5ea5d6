// The HTTP front: a member that hosts nothing and passes requests on. FRONT_PORT, default 0: one that is free.

import { serve } from "@hono/node-server";
import { createCluster } from "@holdfast/core";
import { endInOrder, tellParent } from "@holdfast/example-cluster/process-end.ts";
import { ShardWatch } from "@holdfast/example-cluster/shard-watch.ts";
import { openServer } from "@holdfast/example-orders/server-database.ts";
import { routes } from "./routes.ts";
import { SETTINGS } from "./settings.ts";

const ending = new AsyncDisposableStack();
endInOrder(() => ending.disposeAsync());

const { database, close } = openServer(process.env["CLUSTER_DATABASE_URL"] ?? "");
ending.defer(close);
const cluster = await createCluster({ ...SETTINGS, role: "client" });
ending.defer(() => cluster.shutdown());
await cluster.start();
const shards = new ShardWatch(cluster, {
  shards: SETTINGS.shardsPerGroup,
  intervalMs: 200,
  timeoutMs: 1_000,
});
ending.defer(() => shards.stop());
await shards.start();

const { fetch } = routes({ cluster, database, shards });
const server = serve(
  { fetch, hostname: "127.0.0.1", port: Number(process.env["FRONT_PORT"] ?? 0) },
  ({ port }) => tellParent({ address: `http://127.0.0.1:${port}` }),
);
ending.defer(
  () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      if ("closeIdleConnections" in server) server.closeIdleConnections();
    }),
);
