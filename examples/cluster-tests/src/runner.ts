// One runner process: node runner.ts <name>. Ends in order on SIGTERM and when its parent is gone.

import { hostname } from "node:os";
import { createCluster } from "@holdfast/core";
import { endInOrder, tellParent } from "@holdfast/example-cluster/process-end.ts";
import { openServer } from "@holdfast/example-orders/server-database.ts";
import { registrations } from "./registrations.ts";
import { SETTINGS } from "./settings.ts";

const ending = new AsyncDisposableStack();
endInOrder(() => ending.disposeAsync());

const name = process.argv[2] ?? hostname();
const { database, close } = openServer(process.env["CLUSTER_DATABASE_URL"] ?? "");
ending.defer(close);
const cluster = await createCluster({
  ...SETTINGS,
  register: registrations(database, { name, address: () => cluster.status().address }),
});
ending.defer(() => cluster.shutdown());
await cluster.start();
tellParent({ address: cluster.status().address ?? "" });
