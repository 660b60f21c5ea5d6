// Packs every published package, installs the tarballs in an empty folder as a user would, and imports each entry there; lets
// the oldest TypeScript that is supported make declarations of what a user exports, and bundles it as docs/deployment.md says.
// All of that without vitest; then it is installed, and runs a suite for adapters.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";

/** TypeScript as README.md says. 5.3 does not know NoInfer, which the types use. */
const OLDEST_TYPESCRIPT = "5.4";

const folder = mkdtempSync(join(tmpdir(), "holdfast-install-"));
const env = {
  ...process.env,
  PATH: [resolve("node_modules/.bin"), process.env["PATH"]].join(delimiter),
};
const run = (program: string, args: readonly string[], cwd: string): string => {
  const { error, status, stdout } = spawnSync(program, args, {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
  if (error !== undefined) throw error;
  if (status === 0) return stdout.toString();
  throw new Error(`${program} ended with ${status}: ${String(stdout)}`);
};

try {
  const packages = readdirSync("packages").map(
    (name) => JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8")) as { name: string },
  );
  const workspaces = packages.flatMap(({ name }) => ["-w", name]);
  const packed = JSON.parse(
    run("npm", ["pack", "--json", "--silent", "--pack-destination", folder, ...workspaces], resolve(".")),
  ) as { filename: string }[] | Record<string, { filename: string }>;
  const tarballs = Object.values(packed).map(
    ({ filename }) => `./${filename.replace("@", "").replace("/", "-")}`,
  );
  writeFileSync(join(folder, "package.json"), '{ "type": "module", "private": true }\n');
  const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const install = (...specs: readonly string[]): string =>
    run("npm", ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", ...specs], folder);
  const peers = ["pg", "postgres", "@electric-sql/pglite", "@types/node", "@types/pg"].map(
    (name) => `${name}@${devDependencies[name]}`,
  );
  install(...tarballs, ...peers, `typescript@${OLDEST_TYPESCRIPT}`);
  if (existsSync(join(folder, "node_modules/vitest"))) throw new Error("A package brings vitest along");
  writeFileSync(
    join(folder, "smoke.js"),
    `import { createCluster, defineEntity, rpc } from "@holdfast/core";
import * as adapter from "@holdfast/core/adapter";
import { createTestCluster, messageStorageConformance } from "@holdfast/testing";
import { postgresTx } from "@holdfast/storage-postgres";
import { redisStorage } from "@holdfast/storage-redis";
import { etcd } from "@holdfast/runners-etcd";
import { redis } from "@holdfast/runners-redis";
import { grpc } from "@holdfast/transport-grpc";
import { nats } from "@holdfast/transport-nats";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
for (const part of ["storage-postgres", "storage-redis", "runners-etcd", "runners-redis", "transport-grpc", "transport-nats"])
  require("@holdfast/" + part);
const required = { ...require("@holdfast/core"), ...require("@holdfast/testing") };
if (required.defineEntity !== defineEntity || required.createTestCluster !== createTestCluster)
  throw new Error("require() gives another copy than import");

const Greeter = defineEntity({ name: "Greeter", rpcs: { greet: rpc({ persisted: true }) } });
const greeter = Greeter.implement({ async greet() { return "hello"; } });
// The gRPC transport reads its .proto files from the installed package.
await using cluster = await createCluster({
  transport: grpc({ listen: "127.0.0.1:0" }),
  register: [greeter],
  shardRebalanceDebounce: 0,
});
await cluster.start();
const reply = await cluster.entity(Greeter, "ada").greet();
await using simulated = await createTestCluster({ register: [greeter] });
if ((await simulated.entity(Greeter, "ada").greet()) !== reply) throw new Error("The test cluster does not work");
let refusal;
try {
  messageStorageConformance("requests", () => undefined);
} catch (error) {
  refusal = error;
}
if (!/a test file that vitest runs/.test(refusal?.message)) throw new Error("A suite without vitest says: " + refusal);
const parts = [postgresTx, redisStorage, etcd, redis, grpc, nats, createTestCluster, adapter.FencedError];
if (reply !== "hello" || parts.some((part) => typeof part !== "function")) throw new Error("The installed packages do not work");
console.log("installed packages work");
`,
  );
  // The Node that runs this script, and no custom condition: what a user gets.
  console.log(run(process.execPath, ["smoke.js"], folder).trim());

  writeFileSync(
    join(folder, "library.ts"),
    `import * as holdfast from "@holdfast/core";
import { activity, defineEntity, defineWorkflow, query, rpc } from "@holdfast/core";
import type { ActivityContext, Cluster, ContextOf, HandlerContext, WorkflowFailedError } from "@holdfast/core";
import { etcd } from "@holdfast/runners-etcd";
import { redis } from "@holdfast/runners-redis";
import { pglite, postgres, postgresTx } from "@holdfast/storage-postgres";
import { redisStorage } from "@holdfast/storage-redis";
import { createTestCluster, registerModel } from "@holdfast/testing";
import { grpc } from "@holdfast/transport-grpc";
import { nats } from "@holdfast/transport-nats";

export const Audited = holdfast.defineRpcGroup({ name: "Audited", rpcs: { log: rpc<string, void>() } });
export const audited = Audited.implement({ async log() {} });
export const rpcs = {
  add: rpc<number, number>({ persisted: true }),
  all: rpc<void, number>({ stream: true }),
  reset: rpc({ visibility: "protected" }),
};
export const Counter = defineEntity({ name: "Counter", groups: [Audited], rpcs });
export const counter = Counter.implement(
  {
    add: async (n, ctx) => (await postgresTx(ctx).query<{ n: number }>("SELECT $1", [n])).rowCount,
    async *all() {},
    async reset() {},
  },
  { groups: [audited] },
);
export const reserve = activity(async (ctx, id: string) => ctx.idempotencyKey + id);
export const Stock = holdfast.defineActivityGroup({ name: "Stock", activities: { reserve } });
export const activities = { count: activity({ retries: 3 }, async (_ctx, n: number) => n) };
export const queries = { progress: query<void, number>() };
export const Order = defineWorkflow<{ id: string }, string>({ name: "Order", key: ({ id }) => id, queries });
export const order = Order.implement({
  groups: [Stock],
  activities,
  queries: { progress: (state: number) => state },
  execute: async (ctx, { id }) => id + (await ctx.activities.reserve(id)) + (await ctx.activities.count(1)),
});
export const leader = holdfast.defineSingleton({ name: "leader", async run() {} });
export const nightly = holdfast.defineCron({ name: "nightly", schedule: "@daily", async run() {} });
export const storages = [pglite(), postgres(), redisStorage()];
export const others = { etcd: etcd(), grpc: grpc(), nats: nats(), redis: redis() };
export const start = () => holdfast.createCluster({ register: [counter, order, leader, nightly] });
export const test = () => createTestCluster({ runners: 3, register: [counter] });
export const model = registerModel;
// What helpers of users give on: each type has a name that their declarations can say.
export const clients = (cluster: Cluster) => ({ ...cluster.entity(Counter, "a"), ...cluster.workflow(Order) });
export const handle = (cluster: Cluster) => ({ ...cluster.workflow(Order).get("a") });
export const calls = ({ entityClient, deadLetters }: Cluster) => ({ entityClient, list: deadLetters.list });
export const add = (cluster: Cluster) => cluster.entity(Counter, "a").add;
export const parts = (ctx: ContextOf<typeof Order, typeof activities>) => ({ ...ctx, child: ctx.child(Order) });
export const inside = ({ address, entity, workflow }: HandlerContext) => ({ address, entity, workflow });
export const attempt = ({ entity, workflow }: ActivityContext) => ({ entity, workflow });
export const undone = (error: WorkflowFailedError) => error.failedCompensations;
`,
  );
  const options =
    "--declaration --emitDeclarationOnly --outDir types --strict --exactOptionalPropertyTypes --module nodenext --types node";
  run(process.execPath, ["node_modules/typescript/bin/tsc", "library.ts", ...options.split(" ")], folder);
  console.log(`TypeScript ${OLDEST_TYPESCRIPT} names all types that a library exports`);

  const bundling = /^esbuild [^`]*/mu.exec(readFileSync("docs/deployment.md", "utf8"))?.[0] ?? "false";
  mkdirSync(join(folder, "src"));
  writeFileSync(
    join(folder, "src/main.ts"),
    `import { createCluster } from "@holdfast/core";
import { redis } from "@holdfast/runners-redis";
import { pglite } from "@holdfast/storage-postgres";
import { redisStorage } from "@holdfast/storage-redis";
import { nats } from "@holdfast/transport-nats";

await using cluster = await createCluster({ storage: pglite(), shardRebalanceDebounce: 0 });
await cluster.start();
console.log(cluster.status().state, ...[redis, redisStorage, nats].map((adapter) => typeof adapter));
`,
  );
  run("sh", ["-c", bundling], folder);
  const bundled = run(process.execPath, ["main.mjs"], folder).trim();
  if (bundled !== "running function function function") throw new Error(`The bundle said: ${bundled}`);
  console.log("the bundle works");

  install(`vitest@${devDependencies["vitest"]}`);
  writeFileSync(
    join(folder, "suite.test.js"),
    `import { memoryStorage } from "@holdfast/core";
import { adapterServices, messageStorageConformance } from "@holdfast/testing";

messageStorageConformance("requests", () => {
  const storage = memoryStorage();
  return { open: () => storage.open(adapterServices()), dispose: async () => undefined };
});
`,
  );
  for (const pool of ["forks", "vmThreads"])
    run(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--pool", pool], folder);
  console.log("a suite runs on vitest");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
