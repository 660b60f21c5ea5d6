import { createCluster } from "@holdfast/core";
import pg from "pg";
import { expect, inject, it } from "vitest";
import { runnersFromUrl, storageFromUrl } from "../src/index.ts";
import { newSchema } from "./backends.ts";

const server = inject("postgresUrl");

it.skipIf(server === null)(
  'keeps members and leases with the storage where `runners` is "postgres:"',
  async () => {
    const url = new URL(server ?? "");
    const schema = newSchema();
    url.searchParams.set("schema", schema);
    const cluster = await createCluster({
      storage: storageFromUrl(url.href),
      runners: runnersFromUrl("postgres:"),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 10,
    });
    await cluster.start();
    const client = new pg.Client(server ?? "");
    await client.connect();
    try {
      const { rows } = await client.query(`SELECT record FROM ${schema}.runners`);
      expect(rows).toHaveLength(1);
    } finally {
      await client.end();
      await cluster.shutdown();
    }
  },
);
