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

await using ending = new AsyncDisposableStack();
ending.defer(() => server.stop());
let isInterrupted = false;
const interrupt = async (): Promise<void> => {
  isInterrupted = true;
  await ending.disposeAsync();
  process.exit(130);
};
process.once("SIGINT", () => void interrupt());
process.once("SIGTERM", () => void interrupt());

const { database, close } = openServer(server.url);
ending.defer(close);
if (process.argv.includes("--fresh")) await clearServer(database);
const book = await loadOrderBook();
await prepareTables(database, book.products);

// This process places the orders and hosts nothing.
const client = await createCluster({
  ...SERVER_CLUSTER,
  role: "client",
  storage: storageAt(server.url),
  transport: createMemoryBackend().transport({ address: `memory://client-${process.pid}` }),
});
ending.defer(() => client.shutdown());
await client.start();
const runners = new RunnerProcesses(server.url, ["alpha", "beta", "gamma"]);
ending.defer(() => runners.stop());
let done = 0;
const stopProgress = showProgress(database, () => `done ${done}/${EXPECTED.orders}`);
try {
  // No runner tells this process that an order is done, it looks: all orders at once, then the looking costs no time.
  await placeOrders(client, book, { inFlight: book.orders.length, done: () => (done += 1) });
} catch (error) {
  // Interrupted, the process ends when everything is put away.
  if (isInterrupted) await new Promise<never>(() => undefined);
  throw error;
}
stopProgress();
// What they still had in hand is part of the account.
await runners.stop();
process.exitCode = print(await account(database)) ? 0 : 1;
