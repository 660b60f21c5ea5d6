// The same job on three runner processes that share one PostgreSQL server. Kill any of them: it is started again, and the
// others take its shards over meanwhile.

import { createCluster, createMemoryBackend } from "@holdfast/core";
import { startPostgres } from "../../../test/services/postgres.ts";
import { SERVER_CLUSTER } from "./cluster-options.ts";
import { prepareTables } from "./database.ts";
import { EXPECTED, loadOrderBook } from "./northwind.ts";
import { placeOrders } from "./place-orders.ts";
import { showProgress } from "./progress.ts";
import { account, print } from "./report.ts";
import { RunnerProcesses } from "./runner-processes.ts";
import { clearServer, openServer, storageAt } from "./server-database.ts";

const given = process.env["ORDERS_POSTGRES_URL"];
const server =
  given === undefined
    ? await startPostgres({ durable: true })
    : { url: given, how: "ORDERS_POSTGRES_URL", stop: async () => undefined };
console.log(`Orders on three runner processes and PostgreSQL (${server.how}).`);
const { database, close } = openServer(server.url);
let isRight = false;
try {
  if (process.argv.includes("--fresh")) await clearServer(database);
  const book = await loadOrderBook();
  await prepareTables(database, book.products);

  // This process places the orders and hosts nothing.
  await using client = await createCluster({
    ...SERVER_CLUSTER,
    role: "client",
    storage: storageAt(server.url),
    transport: createMemoryBackend().transport({ address: `memory://client-${process.pid}` }),
  });
  await client.start();
  const runners = new RunnerProcesses(server.url, ["alpha", "beta", "gamma"]);
  let done = 0;
  const stopProgress = showProgress(database, () => `done ${done}/${EXPECTED.orders}`);
  try {
    // No runner tells this process that an order is done, it looks: all orders at once, then the looking costs no time.
    await placeOrders(client, book, { inFlight: book.orders.length, done: () => (done += 1) });
  } finally {
    stopProgress();
    await runners.stop();
  }
  isRight = print(await account(database));
} finally {
  await close();
  await server.stop();
}
process.exitCode = isRight ? 0 : 1;
