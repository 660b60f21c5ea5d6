// 830 orders on three runner processes, PostgreSQL, etcd and gRPC, while runners come and go. See README.md.

import { parseArgs } from "node:util";
import { createCluster } from "@holdfast/core";
import { prepareTables } from "@holdfast/example-orders/database.ts";
import { EXPECTED, loadOrderBook } from "@holdfast/example-orders/northwind.ts";
import { placeOrders } from "@holdfast/example-orders/place-orders.ts";
import { account, print } from "@holdfast/example-orders/report.ts";
import { clearServer, openServer, storageUrlAt } from "@holdfast/example-orders/server-database.ts";
import { readSummary, type Summary } from "@holdfast/example-orders/summary.ts";
import { audit, printAudit } from "./audit.ts";
import { startBackends } from "./backends.ts";
import { chaos } from "./chaos.ts";
import { Fleet } from "./fleet.ts";
import { watchKeys } from "./keys.ts";
import { endInOrder, WITH_CHILDREN_MS } from "./process-end.ts";
import { Screen, type RunnerLine } from "./screen.ts";
import { SETTINGS } from "./settings.ts";
import { ShardWatch } from "./shard-watch.ts";

const { values } = parseArgs({
  options: {
    /** Kills, stops and adds runners by itself. */
    chaos: { type: "boolean", default: false },
    /** Of chaos. */
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    /** Starts no service and no runner: all of them run already, and the environment says where. */
    attach: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const perSecond = Number(process.env["CLUSTER_ORDERS_PER_SECOND"] ?? 20);

const ending = new AsyncDisposableStack();
const starting = Promise.withResolvers<void>();
let isEnding = false;
const end = async (): Promise<void> => {
  isEnding = true;
  // What it has begun by then is ended, too.
  await starting.promise;
  await ending.disposeAsync();
};
endInOrder(end, WITH_CHILDREN_MS);

const databaseUrl = process.env["CLUSTER_DATABASE_URL"];
if (values.attach && databaseUrl === undefined) throw new Error("CLUSTER_DATABASE_URL is not set");
const backends =
  values.attach && databaseUrl !== undefined
    ? { databaseUrl, env: {}, how: "all of it given" }
    : await startBackends(
        ending,
        {
          postgresUrl: process.env["CLUSTER_POSTGRES_URL"] ?? process.env["TEST_POSTGRES_URL"],
          etcdUrl: process.env["CLUSTER_ETCD_URL"] ?? process.env["TEST_ETCD_URL"],
        },
        storageUrlAt,
      );
Object.assign(process.env, backends.env);
console.log(`Orders on runner processes of their own; ${backends.how}.`);
if (values.chaos) console.log(`Chaos with --seed=${seed}.`);

const { database, close } = openServer(backends.databaseUrl);
ending.defer(close);
// Runners that run already must not lose their tables; the orders go on where they were.
if (!values.attach) await clearServer(database);
const book = await loadOrderBook();
await prepareTables(database, book.products);

const early: string[] = [];
let tell = (event: string): void => void early.push(event);
const fleet = new Fleet({
  program: new URL("runner.ts", import.meta.url),
  env: backends.env,
  told: (event) => tell(event),
});
ending.defer(() => fleet.stop());
if (!values.attach) for (let count = 0; count < 3; count += 1) fleet.add();

// This process places the orders and hosts nothing.
const toScreen = (message: string): void => tell(`client: ${message}`);
const client = await createCluster({
  ...SETTINGS,
  role: "client",
  logger: { debug: () => undefined, info: () => undefined, warn: toScreen, error: toScreen },
});
ending.defer(() => client.shutdown());
await client.start();
const watch = new ShardWatch(client, { shards: SETTINGS.shardsPerGroup, intervalMs: 250, timeoutMs: 1_000 });
ending.defer(() => watch.stop());
await watch.start();

let done = 0;
let summary: Summary | undefined;
const began = performance.now();
const reading = setInterval(() => {
  // The database may be away for a moment; the next reading shows more.
  readSummary(database).then(
    (latest) => (summary = latest),
    () => undefined,
  );
}, 250);
ending.defer(() => clearInterval(reading));
const screen = new Screen({
  view: () => ({
    progress:
      `${((performance.now() - began) / 1_000).toFixed(1)}s  paid ${summary?.payments ?? 0}/${EXPECTED.orders}  ` +
      `shipped ${summary?.shipments ?? 0}  units ${summary?.units ?? 0}  on order ${summary?.openPurchaseOrders ?? 0}  ` +
      `done ${done}  summary by ${summary?.runner ?? "nobody"}`,
    runners: runnerLines(),
    ownerless: watch.ownerless.length,
    shards: SETTINGS.shardsPerGroup,
    longestWithoutOwnerMs: watch.longestWithoutOwnerMs,
  }),
  help: values.attach
    ? "q quits"
    : "a adds a runner   k kills one (kill -9)   s stops one in order   q quits",
  lineIntervalMs: Number(process.env["CLUSTER_PROGRESS_MS"] ?? 1_000),
});
tell = (event) => screen.tell(event);
for (const event of early) tell(event);

const quit = (): void => void process.kill(process.pid, "SIGTERM");
const releaseKeys = watchKeys({
  q: quit,
  "\u0003": quit,
  ...(values.attach
    ? {}
    : {
        a: () => void fleet.add(),
        k: () => void fleet.running[0]?.kill(),
        s: () => void fleet.running[0]?.stop(),
      }),
});
ending.defer(releaseKeys);
starting.resolve();

const disturb = values.chaos
  ? chaos({ fleet, seed, orders: book.orders.length, acts: 8 })
  : (): void => undefined;
try {
  await placeOrders(client, book, {
    inFlight: book.orders.length,
    perSecond,
    done() {
      done += 1;
      disturb(done);
    },
  });
} catch (error) {
  // Interrupted, the process ends when everything is put away.
  if (isEnding) await new Promise<never>(() => undefined);
  throw error;
}
summary = await readSummary(database);
screen.stop();
releaseKeys();
tell = (event) => console.log(event);
await watch.stop();
// What they still had in hand is part of the account.
await fleet.stop();
const isRight = print(await account(database));
const isOnce = printAudit(await audit(database, book));
await end();
process.exit(isRight && isOnce ? 0 : 1);

/** Whoever runs, whoever answers, and those that ended of late: all of them would push the table out of the terminal. */
function runnerLines(): readonly RunnerLine[] {
  const started = new Map(fleet.all.map((runner) => [runner.pid, runner]));
  const seen = watch.runners;
  const latest = new Set(fleet.all.slice(-8));
  const shown = fleet.all.filter((runner) => runner.state !== "ended" || latest.has(runner));
  const pids = new Set([...shown.map(({ pid }) => pid), ...seen.keys()]);
  const reachable = new Map(client.status().runners.map((member) => [member.address, member.reachable]));
  return [...pids].map((pid) => {
    const address = seen.get(pid)?.address ?? started.get(pid)?.address ?? "";
    return {
      name: started.get(pid)?.name ?? seen.get(pid)?.runner ?? "",
      pid,
      address,
      state: started.get(pid)?.state ?? "member",
      shards: seen.get(pid)?.shards ?? 0,
      isReachable: reachable.get(address) ?? null,
      answerMs: seen.get(pid)?.answerMs ?? null,
    };
  });
}
