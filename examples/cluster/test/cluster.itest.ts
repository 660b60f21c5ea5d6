import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { openServer } from "@holdfast/example-orders/server-database.ts";
import { account } from "@holdfast/example-orders/report.ts";
import { loadOrderBook } from "@holdfast/example-orders/northwind.ts";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { audit } from "../src/audit.ts";
import { isAlive } from "./process-alive.ts";

const seed = Number(process.env["CLUSTER_SEED"] ?? Date.now() % 1_000_000);
const postgresUrl = inject("postgresUrl");
const etcdUrl = inject("etcdUrl");
const missing = [
  ...(postgresUrl === null ? ["no PostgreSQL"] : []),
  ...(etcdUrl === null ? ["no etcd"] : []),
].join(", ");

describe.skipIf(missing !== "")(`the cluster of the order book${missing && `: ${missing}`}`, () => {
  const name = `cluster_${randomUUID().replaceAll("-", "")}`;
  const url = new URL(postgresUrl ?? "postgres://nowhere");
  url.pathname = `/${name}`;
  const admin = new pg.Client(postgresUrl ?? "");
  const started: ChildProcess[] = [];

  beforeAll(async () => {
    await admin.connect();
    await admin.query(`create database ${name}`);
  });
  afterAll(async () => {
    for (const child of started) child.kill("SIGKILL");
    await admin.query(`drop database ${name} with (force)`);
    await admin.end();
  });

  it(`comes out right to the cent while runners are killed, stopped and added (CLUSTER_SEED=${seed})`, async () => {
    const run = start(["--chaos", `--seed=${seed}`], { CLUSTER_ORDERS_PER_SECOND: "60" });
    expect(await run.ended, run.output()).toBe(0);
    expect(run.output()).toContain("Every order was processed exactly once.");
    expect(run.output()).toContain("ended by SIGKILL");
    expect(await aliveOf(run.output())).toEqual([]);

    const { database, close } = openServer(url.href);
    try {
      const sums = await account(database);
      expect(sums.map(({ what, found }) => ({ what, found }))).toEqual(
        sums.map(({ what, expected }) => ({ what, found: expected })),
      );
      const findings = await audit(database, await loadOrderBook());
      expect(findings.map(({ lost, doubled }) => [lost, doubled])).toEqual(findings.map(() => [0, 0]));
    } finally {
      await close();
    }
  });

  it.each(["SIGTERM", "SIGKILL"] as const)("leaves no process behind after %s", async (signal) => {
    const run = start([], { CLUSTER_ORDERS_PER_SECOND: "20" });
    await run.printed(/paid [1-9]/u);
    expect(await aliveOf(run.output())).toHaveLength(3);
    run.child.kill(signal);
    expect(await run.ended, run.output()).toBe(signal === "SIGTERM" ? 0 : null);
    // Those that lost their parent find out by themselves.
    await expect.poll(() => aliveOf(run.output()), { timeout: 30_000 }).toEqual([]);
  });

  it("ends in order also where it is told to while it starts", async () => {
    const run = start([], {});
    await run.printed(/Orders on runner processes/u);
    run.child.kill("SIGTERM");
    expect(await run.ended, run.output()).toBe(0);
    expect(run.output()).not.toContain("Error");
    await expect.poll(() => aliveOf(run.output()), { timeout: 30_000 }).toEqual([]);
  });

  function start(args: readonly string[], env: Readonly<Record<string, string>>) {
    const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=@holdfast/source", main, ...args], {
      env: {
        ...process.env,
        CLUSTER_PROGRESS_MS: "200",
        CLUSTER_POSTGRES_URL: url.href,
        CLUSTER_ETCD_URL: etcdUrl ?? "",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    started.push(child);
    let output = "";
    const listeners = new Set<() => void>();
    const read = (data: Buffer): void => {
      output += data.toString();
      for (const listener of listeners) listener();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
    return {
      child,
      ended,
      output: () => output,
      /** Resolves once it printed this. @throws {Error} it ended before */
      async printed(pattern: RegExp): Promise<void> {
        const found = new Promise<true>((resolve) => {
          const listener = (): void => {
            if (pattern.test(output)) resolve(true);
          };
          listeners.add(listener);
          listener();
        });
        if ((await Promise.race([found, ended])) !== true)
          throw new Error(`It ended before it printed ${pattern}:\n${output}`);
      },
    };
  }
});

/** Those of the runners named in the output that run. */
async function aliveOf(output: string): Promise<readonly number[]> {
  const pids = [...output.matchAll(/is process (\d+)/gu)].map(([, pid]) => Number(pid));
  const alive = await Promise.all(pids.map(isAlive));
  return pids.filter((_, index) => alive[index]);
}
