// One runner process: node runner.ts <name>, with ORDERS_POSTGRES_URL. Ends when its parent is gone.

import { createCluster, createMemoryBackend } from "@holdfast/core";
import { SERVER_CLUSTER } from "./cluster-options.ts";
import { replenisher } from "./inventory.ts";
import { orderWorkflow } from "./order-workflow.ts";
import { productSales } from "./product-sales.ts";
import { openServer, storageAt } from "./server-database.ts";
import { summaryOf } from "./summary.ts";

const name = process.argv[2] ?? "runner";
const url = process.env["ORDERS_POSTGRES_URL"];
if (url === undefined) throw new Error("ORDERS_POSTGRES_URL is not set");

const { database, close } = openServer(url);
const cluster = await createCluster({
  ...SERVER_CLUSTER,
  storage: storageAt(url),
  // Nobody listens across processes: what one runner asks of another's entities goes through the storage.
  transport: createMemoryBackend().transport({ address: `memory://${name}-${process.pid}` }),
  register: [orderWorkflow, productSales, replenisher, summaryOf(database, name)],
});

const end = async (): Promise<void> => {
  await cluster.shutdown();
  await close();
  process.exit(0);
};
process.once("SIGTERM", () => void end());
process.once("disconnect", () => void end());
// The terminal's Ctrl-C goes to every process; the parent says when this one is to end.
process.on("SIGINT", () => undefined);
await cluster.start();
