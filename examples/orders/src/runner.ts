// One runner process of the cluster: `node runner.ts <postgres url> <name>`. Drains and leaves on SIGTERM.

import { createCluster } from "@holdfast/core";
import { replenisher } from "./inventory.ts";
import { orderWorkflow } from "./order-workflow.ts";
import { productSales } from "./product-sales.ts";
import { connect, sharedOptions } from "./server.ts";
import { summaryOf } from "./summary.ts";

const [, , url, name] = process.argv;
if (url === undefined || name === undefined) throw new Error("Usage: runner.ts <postgres url> <name>");

const { database, close } = connect(url);
const cluster = await createCluster({
  ...sharedOptions(url),
  register: [orderWorkflow, productSales, replenisher, summaryOf(database, name)],
});
await cluster.start();
process.send?.("ready");
process.once("SIGTERM", () => {
  void cluster
    .shutdown()
    .then(close)
    .finally(() => process.exit(0));
});
// Whoever started this is gone: nobody could stop it any more.
process.once("disconnect", () => process.exit(1));
