// One runner process: node runner.ts <name>. What it stands on is in HOLDFAST_STORAGE, HOLDFAST_RUNNERS, HOLDFAST_TRANSPORT
// and CLUSTER_DATABASE_URL. Ends in order on SIGTERM and when its parent is gone.

import { hostname } from "node:os";
import { createCluster } from "@holdfast/core";
import { replenisher } from "@holdfast/example-orders/inventory.ts";
import { orderWorkflow } from "@holdfast/example-orders/order-workflow.ts";
import { productSales } from "@holdfast/example-orders/product-sales.ts";
import { openServer } from "@holdfast/example-orders/server-database.ts";
import { summaryOf } from "@holdfast/example-orders/summary.ts";
import { endInOrder, tellParent } from "./process-end.ts";
import { SETTINGS } from "./settings.ts";
import { whereaboutsOf } from "./whereabouts.ts";

const ending = new AsyncDisposableStack();
endInOrder(() => ending.disposeAsync());

const name = process.argv[2] ?? hostname();
const databaseUrl = process.env["CLUSTER_DATABASE_URL"];
if (databaseUrl === undefined) throw new Error("CLUSTER_DATABASE_URL is not set");
const { database, close } = openServer(databaseUrl);
ending.defer(close);

const cluster = await createCluster({
  ...SETTINGS,
  register: [
    orderWorkflow,
    productSales,
    replenisher,
    summaryOf(database, name),
    whereaboutsOf({ name, address: () => cluster.status().address }),
  ],
});
ending.defer(() => cluster.shutdown());
await cluster.start();
tellParent({ address: cluster.status().address ?? "" });
