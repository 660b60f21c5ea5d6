import { EventEmitter } from "node:events";
import type pg from "pg";
import { describe, expect, it } from "vitest";
import { postgresSettings } from "./options.ts";
import { PgPool, type PgModule } from "./pg-pool.ts";

type TimedConfig = pg.QueryConfig & { readonly query_timeout: number };

/** A pool of the user's whose client notes what it is given, and what it sends with each `write`. */
function pool(sent: TimedConfig[], writes: string[]): pg.Pool {
  let corked = 0;
  const stream = {
    get writableCorked() {
      return corked;
    },
    cork: () => (corked += 1),
    uncork: () => {
      corked -= 1;
      writes.push(`after ${sent.length}`);
    },
  };
  const client = {
    pipeline: true,
    connection: { stream },
    on: () => undefined,
    release: () => undefined,
    query: async (config: TimedConfig) => {
      // Read as `pg` does, whether it is its own or inherited.
      sent.push({ name: config.name, text: config.text, query_timeout: config.query_timeout });
      // As tracers do.
      config.text = `${config.text} /* traced */`;
      return { rows: [], rowCount: 0, command: "SELECT" };
    },
  };
  return { options: { max: 1 }, on: () => undefined, connect: async () => client } as unknown as pg.Pool;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a session through pg", () => {
  const statement = { name: "holdfast_read", text: "SELECT $1", values: ["1"] };

  it("gives each run a configuration of its own, which a tracer may write to", async () => {
    const sent: TimedConfig[] = [];
    const settings = postgresSettings({ pool: pool(sent, []), prepare: true });
    const connection = await new PgPool({} as PgModule, settings).connect();
    await connection.run(statement);
    await connection.run(statement);
    const expected = {
      name: expect.stringMatching(/^holdfast_read_[0-9a-f]{16}$/),
      text: "SELECT $1",
      query_timeout: settings.statementDeadlineMs,
    };
    expect(sent).toEqual([expected, expected]);
  });

  it("sends what is asked for within a turn in one write", async () => {
    const sent: TimedConfig[] = [];
    const writes: string[] = [];
    const connection = await new PgPool(
      {} as PgModule,
      postgresSettings({ pool: pool(sent, writes), prepare: true }),
    ).connect();
    await Promise.all([connection.script("BEGIN"), connection.run(statement)]);
    await nextTurn();
    await Promise.all([connection.run(statement), connection.script("COMMIT")]);
    await nextTurn();
    expect(writes).toEqual(["after 2", "after 4"]);
  });
});

describe("a pool of the user's", () => {
  it("does not end the process where an idle connection is lost, and is left as it was", async () => {
    const given = Object.assign(new EventEmitter(), { options: { max: 1 }, connect: () => undefined });
    const sessions = Array.from(
      { length: 3 },
      () => new PgPool({} as PgModule, postgresSettings({ pool: given as unknown as pg.Pool })),
    );
    // It throws where nobody listens.
    expect(given.emit("error", new Error("terminating connection"))).toBe(true);
    for (const session of sessions) await session.end();
    expect([given.listenerCount("error"), given.listenerCount("connect")]).toEqual([0, 0]);
  });

  it("has one listener on each of its connections, however many storages it outlives", async () => {
    const client = Object.assign(new EventEmitter(), { release: () => undefined });
    const given = Object.assign(new EventEmitter(), { options: { max: 1 }, connect: async () => client });
    for (let turn = 0; turn < 3; turn += 1) {
      const session = new PgPool({} as PgModule, postgresSettings({ pool: given as unknown as pg.Pool }));
      (await session.connect()).release(true);
      await session.end();
    }
    expect(client.listenerCount("error")).toBe(1);
  });
});
