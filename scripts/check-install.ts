// Packs every published package, installs the tarballs in an empty folder as a user would, and imports each entry there.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "holdfast-install-"));
const run = (program: string, args: readonly string[], cwd: string): string =>
  execFileSync(program, args, { cwd, stdio: ["ignore", "pipe", "inherit"] }).toString();

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
  const peers = ["vitest", "pg", "postgres", "@electric-sql/pglite"].map(
    (name) => `${name}@${devDependencies[name]}`,
  );
  run(
    "npm",
    ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", ...tarballs, ...peers],
    folder,
  );
  writeFileSync(
    join(folder, "smoke.js"),
    `import { createCluster, defineEntity, rpc } from "@holdfast/core";
import * as adapter from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { postgresTx } from "@holdfast/storage-postgres";
import { redisStorage } from "@holdfast/storage-redis";
import { etcd } from "@holdfast/runners-etcd";
import { redis } from "@holdfast/runners-redis";
import { grpc } from "@holdfast/transport-grpc";
import { nats } from "@holdfast/transport-nats";

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
const parts = [postgresTx, redisStorage, etcd, redis, grpc, nats, createTestCluster, adapter.FencedError];
if (reply !== "hello" || parts.some((part) => typeof part !== "function")) throw new Error("The installed packages do not work");
console.log("installed packages work");
`,
  );
  // The Node that runs this script, and no custom condition: what a user gets.
  console.log(run(process.execPath, ["smoke.js"], folder).trim());
} finally {
  rmSync(folder, { recursive: true, force: true });
}
