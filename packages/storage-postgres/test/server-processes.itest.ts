// Which server process a transaction has, where that does not show: what it has not written when its connection is lost, it may
// write later, unless that process was surely ended (INV-3).

import pg from "pg";
import { afterAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { postgres } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";
import { begin, claim, ENTRY, ownedBy, startOf } from "./work.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url, { mode: "session" });
afterAll(() => bouncer?.stop());

/** What an activity's transaction is reported with whose last statements come late, and what is there of it then. */
async function lateCommit(
  pool: pg.Pool,
  connectionString: string,
): Promise<{ told: unknown; effects: () => Promise<number> }> {
  const schema = newSchema();
  await pool.query(`CREATE TABLE ${schema}_effects (key text)`);
  await pool.query(`GRANT ALL ON ${schema}_effects TO public`);
  await using proxy = await CuttingProxy.start(connectionString);
  // Only `pg` sends what ends a transaction in one piece, as the proxy needs it.
  const session = await postgres({ driver: "pg", connectionString: proxy.url, schema }).open(services());
  onTestFinished(async () => {
    await session.close();
    await pool.query(`DROP SCHEMA ${schema} CASCADE`);
    await pool.query(`DROP TABLE ${schema}_effects`);
  });
  const { messages, workflows } = session;
  const fence = await claim(messages);
  const start = startOf("1");
  await messages.saveRequest(start, 1, fence);
  const transaction = begin(messages);
  await transaction.query(`INSERT INTO ${schema}_effects VALUES ('effect')`, []);
  proxy.cutAt({ needle: "holdfast_commit_step", reaches: "none", isTold: false });
  const told = await workflows.appendJournal(ownedBy(start), [ENTRY], fence, transaction).then(
    () => "written",
    (error: unknown) => (error as { outcome?: unknown }).outcome,
  );
  await proxy.deliverLate();
  const effects = async (): Promise<number> =>
    (await pool.query(`SELECT * FROM ${schema}_effects`)).rows.length;
  return { told, effects };
}

function newPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: url ?? "", max: 1 });
  onTestFinished(() => pool.end());
  return pool;
}

describe.skipIf(url === null)("a transaction whose connection was lost before its last statements", () => {
  it("is not taken for undone where a login may not end its own processes, since it took on a role", async () => {
    const pool = newPool();
    const role = newSchema();
    await pool.query(`CREATE ROLE ${role}_owner`);
    await pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'p' IN ROLE ${role}_owner`);
    await pool.query(`ALTER ROLE ${role} SET role = ${role}_owner`);
    await pool.query(
      `DO $do$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ${role}_owner', current_database()); END $do$`,
    );
    onTestFinished(async () => {
      await pool.query(`DROP OWNED BY ${role}_owner CASCADE`);
      await pool.query(`DROP ROLE ${role}, ${role}_owner`);
    });
    const login = new URL(url ?? "");
    login.username = role;
    login.password = "p";
    const { told, effects } = await lateCommit(pool, login.href);
    expect(told).toBe("unknown");
    await expect.poll(effects).toBe(1);
  });

  it.skipIf(bouncer === null)("is ended through PgBouncer in session mode", async () => {
    const { told, effects } = await lateCommit(newPool(), bouncer?.url ?? "");
    expect(told).toBe("not-written");
    expect(await effects()).toBe(0);
  });
});
