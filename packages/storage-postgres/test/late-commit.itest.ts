// A COMMIT that reaches the server when its execution has gone on without it: INV-3.

import { activity, createCluster, createMemoryBackend, defineWorkflow } from "@holdfast/core";
import pg from "pg";
import { expect, inject, it, onTestFinished } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema } from "./backends.ts";

const url = inject("postgresUrl") ?? "";

const Trip = defineWorkflow<void, string[]>({ name: "Trip", key: () => "1" });

it.each(["pg", "postgres.js"] as const)(
  "is refused, so that activities side by side book once each, through %s",
  async (driver) => {
    const schema = newSchema();
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    onTestFinished(async () => {
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await pool.query(`DROP TABLE ${schema}_bookings`);
      await pool.end();
    });
    await pool.query(`CREATE TABLE ${schema}_bookings (name text)`);
    await using proxy = await CuttingProxy.start(url);
    let attempts = 0;
    const both = Promise.withResolvers<void>();
    const trip = Trip.implement({
      activities: {
        book: activity(async (ctx, name: string) => {
          await postgresTx(ctx).query(`INSERT INTO ${schema}_bookings VALUES ($1)`, [name]);
          attempts += 1;
          if (attempts === 2) both.resolve();
          await both.promise;
          // The first of the two: its COMMIT is under way, and the server out of reach for who wants to know what became of it.
          if (attempts === 2 && proxy.blackHoleAt === null) {
            proxy.cutAt({ needle: "COMMIT", reaches: "none", isTold: false });
            proxy.blackHoleAt = "pg_terminate_backend";
          }
          return name;
        }),
      },
      execute: (ctx) => Promise.all([ctx.activities.book("flight"), ctx.activities.book("hotel")]),
    });
    let failures = 0;
    const noteFailure = (): void => void (failures += 1);
    const cluster = await createCluster({
      storage: postgres({
        driver,
        connectionString: proxy.url,
        schema,
        statementDeadline: "2s",
        // Longer than all that is waited for here, and as long as what settles the COMMIT waits for its transaction to end.
        idleTransactionTimeout: "8s",
      }),
      runners: createMemoryBackend().runners,
      transport: createMemoryBackend().transport(),
      shardRebalanceDebounce: 0,
      shardsPerGroup: 4,
      register: [trip],
      logger: { debug: noteFailure, info: noteFailure, warn: noteFailure, error: noteFailure },
    });
    await cluster.start();
    onTestFinished(() => cluster.shutdown());
    const result = cluster.workflow(Trip).execute();
    await expect.poll(() => proxy.mode, { timeout: 30_000 }).toBe("black hole");
    // The attempt is given up, and is to be made again.
    const before = failures;
    await expect.poll(() => failures, { timeout: 60_000 }).toBeGreaterThan(before);
    proxy.blackHoleAt = null;
    proxy.mode = "open";
    expect(await result).toEqual(["flight", "hotel"]);
    await proxy.deliverLate();
    const { rows } = await pool.query<{ name: string }>(`SELECT name FROM ${schema}_bookings ORDER BY 1`);
    expect(rows.map(({ name }) => name)).toEqual(["flight", "hotel"]);
  },
);
