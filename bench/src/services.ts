// Services: what contestants run on, found as the tests find them and started when the first one asks.

import { totalmem } from "node:os";
import pg from "pg";
import { startNats } from "../../test/services/nats.ts";
import { startPostgres, type PostgresService } from "../../test/services/postgres.ts";
import type { Service } from "../../test/services/programs.ts";
import { startOwnRedis, startRedis } from "../../test/services/redis.ts";
import type { Services } from "./contestant.ts";
import type { ServiceName } from "./roster.ts";

/** So that no checkpoint and no full cache falls into one contestant's round and not into another's. */
const SERVER_SETTINGS: Readonly<Record<string, string>> = {
  ...(totalmem() > 8 * 2 ** 30 ? { shared_buffers: "1GB" } : {}),
  max_wal_size: "8GB",
  checkpoint_timeout: "30min",
};
/** What a report says of the server. */
const SHOWN = [
  "server_version",
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "shared_buffers",
  "max_wal_size",
  "checkpoint_timeout",
] as const;

export class BenchServices {
  readonly #started = new Map<ServiceName, Promise<Service>>();
  #databases = 0;

  /** Each contestant's database is new and its own. @throws {Error} one of them cannot be had */
  async open(
    needs: readonly ServiceName[],
  ): Promise<{ readonly services: Services; close(): Promise<void> }> {
    const urls = new Map<ServiceName, string>();
    for (const name of needs) urls.set(name, (await this.#start(name)).url);
    const server = urls.get("postgres");
    this.#databases += 1;
    const database = `bench_${process.pid}_${this.#databases}`;
    if (server !== undefined) await query(server, `CREATE DATABASE ${database}`);
    return {
      services: {
        postgres: server === undefined ? "" : withDatabase(server, database),
        nats: urls.get("nats") ?? null,
        redis: urls.get("redis") ?? null,
      },
      async close() {
        if (server !== undefined) await query(server, `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
      },
    };
  }

  /** What was started, for the report. */
  async describe(): Promise<Readonly<Record<string, string>>> {
    const described: Record<string, string> = {};
    for (const [name, starting] of this.#started) {
      const service = await starting.catch(() => null);
      if (service === null) continue;
      described[name] = service.how;
      if (name !== "postgres") continue;
      for (const setting of SHOWN) {
        const [row] = await query(service.url, `SELECT current_setting('${setting}') AS value`);
        described[`postgres ${setting}`] = String(row?.["value"]);
      }
    }
    return described;
  }

  async stop(): Promise<void> {
    // One that did not start has told whoever asked for it.
    await Promise.all(
      [...this.#started.values()].map((starting) =>
        starting.then((service) => service.stop()).catch(() => undefined),
      ),
    );
  }

  #start(name: ServiceName): Promise<Service> {
    let starting = this.#started.get(name);
    if (starting === undefined) {
      starting = START[name]();
      this.#started.set(name, starting);
    }
    return starting;
  }
}

const START: Readonly<Record<ServiceName, () => Promise<Service>>> = {
  async postgres() {
    const server = await startPostgres({ durable: true });
    try {
      await tune(server);
      await checkDurable(server.url);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  },
  nats: startNats,
  // With the file that most who run BullMQ have, synced each second.
  redis: () =>
    (process.env["TEST_REDIS_URL"] ?? "") === ""
      ? startOwnRedis({ extra: ["--appendonly", "yes", "--appendfsync", "everysec"] }).catch(() =>
          startRedis(),
        )
      : startRedis(),
};

/** A server of somebody else's is left as it is. */
async function tune({ url, control }: PostgresService): Promise<void> {
  if (control === null) return;
  for (const [name, value] of Object.entries(SERVER_SETTINGS))
    await query(url, `ALTER SYSTEM SET ${name} = '${value}'`);
  await control.restart({ mode: "fast" });
}

/** @throws {Error} a commit is answered before it is on disk, so that no figure would be what it is said to be */
async function checkDurable(url: string): Promise<void> {
  for (const setting of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await query(url, `SELECT current_setting('${setting}') AS value`);
    if (row?.["value"] === "off")
      throw new Error(`this PostgreSQL has ${setting} off: commits are not on disk when it says so`);
  }
}

async function query(url: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

export function withDatabase(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}
