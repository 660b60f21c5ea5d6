// A rolling upgrade: members of the release before go on while one of this release migrates the schema, and beside it.

import {
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineWorkflow,
  rpc,
  type Cluster,
} from "@holdfast/core";
import { describe, expect, inject, it } from "vitest";
import { postgres, postgresTx } from "../src/index.ts";
import { newSchema, serverBackend, services } from "./backends.ts";
import * as previous from "./previous/version-1.js";

const url = inject("postgresUrl") ?? "";
const CALLERS = 8;

const Account = defineEntity({
  name: "Account",
  rpcs: { deposit: rpc<{ id: string }, number>({ persisted: true }) },
});
const Transfer = defineWorkflow<{ id: string }, string>({ name: "Transfer", key: ({ id }) => id });

/** A member of one release: its storage, and code that writes through that release's transactions. */
function member(
  release: { postgres: typeof postgres; postgresTx: typeof postgresTx },
  schema: string,
  backend: ReturnType<typeof createMemoryBackend>,
): Promise<Cluster> {
  const note = async (ctx: Parameters<typeof postgresTx>[0], id: string): Promise<void> => {
    await release.postgresTx(ctx).query(`INSERT INTO ${schema}_effects VALUES ($1)`, [id]);
  };
  const account = Account.implement({
    async deposit({ id }, ctx) {
      await note(ctx, id);
      return 1;
    },
  });
  const transfer = Transfer.implement({
    async execute(ctx, { id }) {
      await ctx.run("debit", async (activity) => note(activity, `${id} debit`));
      await ctx.run("credit", async (activity) => note(activity, `${id} credit`));
      return id;
    },
  });
  return createCluster({
    storage: release.postgres({ connectionString: url, schema, poolSize: 5 }),
    runners: backend.runners,
    transport: backend.transport(),
    register: [account, transfer],
    shardsPerGroup: 20,
    shardRebalanceDebounce: "100ms",
    storagePollInterval: "100ms",
    runnerLockTtl: "20s",
  });
}

describe.skipIf(url === "")("an upgrade while members of the release before work", () => {
  it("fails no request and loses and doubles no effect", async () => {
    const current = { postgres, postgresTx };
    const schema = newSchema();
    await using effects = effectsOf(schema);
    await effects.made;
    const backend = createMemoryBackend();
    const old = [await member(previous, schema, backend), await member(previous, schema, backend)];
    for (const each of old) await each.start();
    expect(await effects.versions()).toEqual([1]);

    const expected: string[] = [];
    const end = new AbortController();
    let at = old[0] as Cluster;
    const callers = Array.from({ length: CALLERS }, async (_, caller) => {
      for (let call = 0; !end.signal.aborted; call += 1) {
        const id = `${caller}-${call}`;
        // One id for all attempts, as whoever must not pay twice does.
        if (call % 4 === 0) {
          expected.push(`${id} debit`, `${id} credit`);
          expect(await at.workflow(Transfer).execute({ id })).toBe(id);
        } else {
          expected.push(id);
          expect(await at.entity(Account, `a${call % 5}`).deposit({ id }, { idempotencyKey: id })).toBe(1);
        }
      }
    });
    const some = async (): Promise<void> => {
      const enough = expected.length + 200;
      await expect.poll(() => expected.length, { timeout: 60_000 }).toBeGreaterThan(enough);
    };
    await some();
    // Two of the new release come at once: both find the old schema.
    const fresh = await Promise.all([member(current, schema, backend), member(current, schema, backend)]);
    await Promise.all(fresh.map((each) => each.start()));
    expect((await effects.versions()).length).toBeGreaterThan(1);
    await some();
    at = fresh[0];
    await old[0]?.shutdown();
    await some();
    await old[1]?.shutdown();
    await some();
    end.abort();
    await Promise.all(callers);
    expect((await effects.all()).toSorted()).toEqual(expected.toSorted());
    for (const each of fresh) await each.shutdown();
  });

  it("that breaks off half-way leaves the schema as it was, and the next start does it", async () => {
    const schema = newSchema();
    await using effects = effectsOf(schema);
    const before = await previous.postgres({ connectionString: url, schema, poolSize: 2 }).open(services());
    await before.close();
    // The last thing that a migration does is to write down its version: this makes it fail there.
    await effects.sql(`CREATE RULE stop AS ON INSERT TO ${schema}.migrations DO INSTEAD SELECT 1 / 0`);
    const adapter = postgres({ connectionString: url, schema, poolSize: 2 });
    await expect(adapter.open(services())).rejects.toThrow();
    expect(await effects.versions()).toEqual([1]);
    const functions = await effects.sql<{ count: string }>(
      `SELECT count(*) FROM pg_proc WHERE pronamespace = '${schema}'::regnamespace AND proname ~ '_v[2-9]$'`,
    );
    expect(functions[0]?.count).toBe("0");
    await effects.sql(`DROP RULE stop ON ${schema}.migrations`);
    const after = await adapter.open(services());
    expect((await effects.versions()).length).toBeGreaterThan(1);
    await after.close();
  });
});

/** A table without a unique index, so that a doubled effect shows. */
function effectsOf(schema: string): {
  readonly made: Promise<unknown>;
  readonly sql: ReturnType<typeof serverBackend>["sql"];
  all(): Promise<readonly string[]>;
  versions(): Promise<readonly number[]>;
} & AsyncDisposable {
  const { sql, dispose } = serverBackend(url);
  return {
    made: sql(`CREATE TABLE ${schema}_effects (id text NOT NULL)`),
    sql,
    all: async () => (await sql<{ id: string }>(`SELECT id FROM ${schema}_effects`)).map(({ id }) => id),
    versions: async () =>
      (await sql<{ version: number }>(`SELECT version FROM ${schema}.migrations ORDER BY version`)).map(
        ({ version }) => version,
      ),
    async [Symbol.asyncDispose]() {
      await sql(`DROP TABLE IF EXISTS ${schema}_effects`);
      await sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await dispose();
    },
  };
}
