// The main job: 830 orders on a small cluster of three runners in this process, on PGlite in a folder. Killed at any moment
// and started again, it goes on where it was.

import { fileURLToPath } from "node:url";
import { createCluster, createMemoryBackend, type Cluster } from "@holdfast/core";
import { pglite } from "@holdfast/storage-postgres";
import { openFolder } from "./pglite-folder.ts";
import { prepareTables, readSums } from "./database.ts";
import { replenisher } from "./inventory.ts";
import { EXPECTED, loadOrderBook } from "./northwind.ts";
import { orderWorkflow } from "./order-workflow.ts";
import { placeOrders } from "./place-orders.ts";
import { productSales } from "./product-sales.ts";
import { showProgress } from "./progress.ts";
import { account, print } from "./report.ts";
import { summaryOf } from "./summary.ts";

const folder = process.env["ORDERS_DATA"] ?? fileURLToPath(new URL("../.data", import.meta.url));
console.log(
  `Orders on PGlite in ${folder}, process ${process.pid}. Kill it whenever you like: the same command goes on where it was.`,
);
const book = await loadOrderBook();
const opened = await openFolder(folder, { fresh: process.argv.includes("--fresh") });
const { instance, database } = opened;
await prepareTables(database, book.products);
const { payments } = await readSums(database);
if (payments > 0) console.log(`Going on from ${payments} orders paid. "npm start -- --fresh" starts anew.`);

// One process, three runners: they share storage, and find each other through a backend in memory.
const storage = pglite({ instance });
const backend = createMemoryBackend();
const names = ["alpha", "beta", "gamma"];
const members: readonly Cluster[] = await Promise.all(
  names.map((name) =>
    createCluster({
      storage,
      runners: backend.runners,
      transport: backend.transport(),
      shardsPerGroup: 60,
      shardRebalanceDebounce: "50ms",
      register: [orderWorkflow, productSales, replenisher, summaryOf(database, name)],
    }),
  ),
);
await Promise.all(members.map((member) => member.start()));
const [cluster] = members;
if (cluster === undefined) throw new Error("There is no member");

let done = 0;
const stopProgress = showProgress(database, () => `done ${done}/${EXPECTED.orders}`);
await placeOrders(cluster, book, { inFlight: 100, done: () => (done += 1) });
stopProgress();
// What they still had in hand is part of the account.
await Promise.all(members.map((member) => member.shutdown()));
const isRight = print(await account(database));
await opened.close();
if (isRight)
  console.log(`The order book is complete. "npm start" checks it, "npm start -- --fresh" starts anew.`);
process.exitCode = isRight ? 0 : 1;
