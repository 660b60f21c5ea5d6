// One Pool of the user's below two storages, each in a schema of its own, as a cluster for each tenant has it.

import { createCluster, createMemoryBackend, defineEntity, rpc, type Cluster } from "@holdfast/core";
import pg from "pg";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema } from "./backends.ts";

const url = inject("postgresUrl");
const ROUNDS = 15;
const ENTITIES = 8;

const Account = defineEntity({
  name: "Account",
  rpcs: {
    pay: rpc<void, string>({ persisted: true }),
    book: rpc<{ round: number }, string>({ persisted: true }),
  },
});

describe.skipIf(url === null)("two storages on one pool", () => {
  it.each([true, false])(
    "handle each request once, and have nothing to repeat (pipeline: %s)",
    async (pipeline) => {
      // The types of pg do not know it yet.
      const options = { connectionString: url ?? "", max: 8, pipeline };
      const pool = new pg.Pool(options);
      const schemas = [newSchema(), newSchema()];
      const told: unknown[] = [];
      const note = (message: string, fields?: object): void => void told.push([message, fields]);
      const clusters: Cluster[] = [];
      onTestFinished(async () => {
        for (const cluster of clusters) await cluster.shutdown();
        for (const schema of schemas) await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
        await pool.end();
      });
      /** How often each request was handled. */
      const handled = new Map<string, number>();
      const handle = (requestId: string): void =>
        void handled.set(requestId, (handled.get(requestId) ?? 0) + 1);
      const account = Account.implement({
        async pay(_input, ctx) {
          handle(ctx.requestId);
          return "paid";
        },
        // Its texts come in another order on each of the storages.
        async book({ round }, ctx) {
          handle(ctx.requestId);
          const { rows } = await postgresTx(ctx).query<{ text: string }>(
            `SELECT 'booked ${round % 5}' || $1::text AS text`,
            [""],
          );
          return rows[0]?.text ?? "";
        },
      });
      for (const schema of schemas) {
        const cluster = await createCluster({
          storage: postgres({ pool, schema }),
          transport: createMemoryBackend().transport(),
          shardRebalanceDebounce: 0,
          shardsPerGroup: 4,
          register: [account],
          logger: { debug: () => undefined, info: () => undefined, warn: note, error: note },
        });
        clusters.push(cluster);
        await cluster.start();
      }
      for (let round = 0; round < ROUNDS; round += 1) {
        const calls = clusters.flatMap((cluster, at) => {
          const bookings = at === 0 ? round : ROUNDS - round;
          return Array.from({ length: ENTITIES }, (_, n) => cluster.entity(Account, `${n}`)).flatMap(
            (entity) => [
              entity.pay(undefined, { timeout: "10s" }),
              entity.book({ round: bookings }, { timeout: "10s" }),
            ],
          );
        });
        const answers = await Promise.all(calls);
        expect(new Set(answers)).toEqual(
          new Set(["paid", `booked ${round % 5}`, `booked ${(ROUNDS - round) % 5}`]),
        );
      }
      expect(told.slice(0, 3)).toEqual([]);
      expect([...handled.values()]).toEqual(Array.from({ length: ROUNDS * ENTITIES * 4 }, () => 1));
    },
  );
});
