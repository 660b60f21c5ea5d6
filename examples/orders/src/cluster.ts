// The same job on three runner processes that share one PostgreSQL server. Kill any of them: it is started again, and the
// others take over meanwhile. ORDERS_POSTGRES_URL names a server of yours; its tables are kept, and the job goes on where it
// was, unless --fresh is given. Without it a server is found, or started for this run alone.

import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createCluster } from "@holdfast/core";
import { startPostgres } from "../../../test/services/postgres.ts";
import { dropTables, prepareTables } from "./database.ts";
import { EXPECTED, loadOrderBook } from "./northwind.ts";
import { placeOrders } from "./place-orders.ts";
import { showProgress } from "./progress.ts";
import { account, print } from "./report.ts";
import { connect, sharedOptions } from "./server.ts";

const NAMES = ["alpha", "beta", "gamma"];

const given = process.env["ORDERS_POSTGRES_URL"];
const service = given === undefined || given === "" ? await startPostgres() : { url: given, how: "ORDERS_POSTGRES_URL", stop: async () => undefined };
console.log(`Orders on three runner processes and PostgreSQL (${service.how}).`);
const { database, close } = connect(service.url);
if (process.argv.includes("--fresh")) await dropTables(database);
const book = await loadOrderBook();
await prepareTables(database, book.products);

let isOver = false;
const runners = new Map<string, ChildProcess>();
const startRunner = (name: string): Promise<void> => {
  const child = fork(fileURLToPath(new URL("runner.ts", import.meta.url)), [service.url, name], { execArgv: ["--conditions=@holdfast/source"] });
  runners.set(name, child);
  console.log(`runner ${name} is process ${child.pid}`);
  child.once("exit", (code, signal) => {
    if (isOver) return;
    console.log(`runner ${name} ended (${signal ?? code}); starting it again`);
    void startRunner(name);
  });
  return new Promise((resolve) => {
    child.once("message", () => resolve());
    child.once("exit", () => resolve());
  });
};
await Promise.all(NAMES.map(startRunner));

const cluster = await createCluster({ ...sharedOptions(service.url), role: "client" });
await cluster.start();
let done = 0;
const stopProgress = showProgress(database, () => `done ${done}/${EXPECTED.orders}`);
await placeOrders(cluster, book, () => {
  done += 1;
});
stopProgress();
const isRight = print(await account(database));

isOver = true;
await cluster.shutdown();
await Promise.all(
  [...runners.values()].map(async (child) => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      await ended;
    }
  }),
);
await close();
await service.stop();
process.exitCode = isRight ? 0 : 1;
