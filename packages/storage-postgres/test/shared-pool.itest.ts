// One Pool of the user's below two storages, each in a schema of its own, as a cluster for each tenant has it.

import { createCluster, createMemoryBackend, defineEntity, rpc, type Cluster } from "@holdfast/core";
import { FencedError } from "@holdfast/core/adapter";
import pg from "pg";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { begin, claim, request, succeeded } from "./work.ts";

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

describe.skipIf(url === null)("a pool whose sessions are given a role when they are made", () => {
  it("has it again once a handler took on another one", async () => {
    const schema = newSchema();
    const [login, app, tenant] = [`${schema}_login`, `${schema}_app`, `${schema}_tenant`];
    const admin = new pg.Client({ connectionString: url ?? "" });
    await admin.connect();
    await admin.query(`CREATE ROLE ${app}; CREATE ROLE ${tenant}; CREATE ROLE ${login} LOGIN NOINHERIT PASSWORD 'x' IN ROLE ${app},
      ${tenant}; CREATE SCHEMA ${schema} AUTHORIZATION ${app}`);
    const connectionString = Object.assign(new URL(url ?? ""), { username: login, password: "x" }).href;
    const pool = new pg.Pool({ connectionString, max: 4 });
    pool.on("connect", (client) => void client.query(`SET ROLE ${app}`));
    const session = await postgres({ pool, schema }).open(services());
    onTestFinished(async () => {
      await session.close();
      await pool.end();
      await admin.query(`DROP SCHEMA ${schema} CASCADE; DROP ROLE ${login}, ${app}, ${tenant}`);
      await admin.end();
    });
    const { messages } = session;
    const fence = await claim(messages);
    /** As whom each session runs. */
    const users = async (): Promise<unknown[]> => {
      const clients = await Promise.all([1, 2, 3, 4].map(() => pool.connect()));
      const answers = await Promise.all(
        clients.map((client) => client.query<{ name: string }>("SELECT current_user::text AS name")),
      );
      for (const client of clients) client.release();
      return answers.map(({ rows }) => rows[0]?.name);
    };
    for (const local of ["LOCAL ", ""]) {
      const pending = request();
      await messages.saveRequest(pending, 1, fence);
      const transaction = begin(messages);
      await transaction.query("SAVEPOINT refused", []);
      await expect(transaction.query("SELECT 1 / 0", [])).rejects.toMatchObject({ code: "22012" });
      await expect(transaction.query(`SET ${local}ROLE ${tenant}`, [])).rejects.toMatchObject({
        code: "25P02",
      });
      await transaction.query("ROLLBACK TO refused", []);
      await transaction.query(`SET ${local}ROLE ${tenant}`, []);
      await transaction.query("SET LOCAL ROLE none", []);
      // Not waited for: it has its turn before the record all the same.
      void transaction.query(`SET LOCAL ROLE ${tenant}`, []);
      await messages.saveReply(succeeded(pending.requestId), fence, transaction);
      expect(await users()).toEqual([app, app, app, app]);
    }
    // Given back, and then rolled back with a record that is refused.
    const fenced = begin(messages);
    await fenced.query(`SET LOCAL ROLE ${tenant}`, []);
    const saving = messages.saveReply(succeeded("none"), { ...fence, epoch: fence.epoch - 1 }, fenced);
    await expect(saving).rejects.toBeInstanceOf(FencedError);
    expect(await users()).toEqual([app, app, app, app]);
  });
});
