// What callers see of a server that does not answer, and of a pool with nothing left: an error after a bounded time, and
// then, when it can be, everything again.

import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { member } from "../../../test/member.ts";
import { CuttingProxy, type ProxyMode } from "../../../test/services/cutting-proxy.ts";
import { postgres, type PostgresOptions } from "../src/index.ts";
import { serverBackend, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";
import { begin, claim, NO_INBOX, request, succeeded } from "./work.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

const MEMBER = member("r");
const DRIVERS = ["pg", "postgres.js"] as const;
const SILENT: readonly ProxyMode[] = ["black hole", "no answers", "no questions"];

function deadlines(connectionString: string, options: PostgresOptions): void {
  let backend: ReturnType<typeof serverBackend>;
  let sessions: OpenStorage[];
  beforeEach(() => {
    backend = serverBackend(url ?? "");
    sessions = [];
  });
  afterEach(async () => {
    for (const session of sessions) await session.close();
    await backend.dispose();
  });

  const open = async (changes: PostgresOptions): Promise<OpenStorage> => {
    const session = await postgres({ ...options, schema: backend.schema, ...changes }).open(services());
    sessions.push(session);
    return session;
  };

  it.each(SILENT)(
    "a statement on a %s ends as a PersistenceError, and then there are other connections",
    async (mode) => {
      await using proxy = await CuttingProxy.start(connectionString);
      const { messages, workflows } = await open({ connectionString: proxy.url, statementDeadline: 600 });
      const fence = await claim(messages);
      const envelope = request();
      await messages.saveRequest(envelope, 1, fence);
      const transaction = begin(messages);
      await transaction.query("SELECT 1", []);
      proxy.mode = mode;
      const ended = await Promise.allSettled([
        messages.lookUp([envelope.requestId]),
        messages.saveRequest(request(), 0, fence),
        workflows.readExecution({ entityType: "Order", executionId: "1" }, NO_INBOX),
        transaction.query("SELECT 1", []),
        begin(messages).query("SELECT 1", []),
        messages.claimShards(["default:2"]),
      ]);
      for (const result of ended) {
        expect(result).toMatchObject({ status: "rejected", reason: expect.any(PersistenceError) as unknown });
      }
      const saving = messages.saveReply(succeeded(envelope.requestId), fence, transaction);
      await expect(saving).rejects.toBeInstanceOf(PersistenceError);
      await transaction.rollback();
      proxy.mode = "open";
      const again = begin(messages);
      await again.query(`INSERT INTO ${backend.schema}_effects VALUES ('again')`, []);
      await messages.saveReply(succeeded(envelope.requestId), fence, again);
      expect(await backend.transactions?.has("again")).toBe(true);
    },
  );

  // A short deadline is no help by itself: there may be many lost connections to wait for, one after the other.
  it.each(["20s", "2s"])(
    "a lease is refreshed and members are listed although every connection was lost without a word (%s)",
    async (statementDeadline) => {
      await using proxy = await CuttingProxy.start(connectionString);
      const { runners, messages } = await open({
        connectionString: proxy.url,
        poolSize: 6,
        statementDeadline,
      });
      await runners?.register(MEMBER, 60_000);
      // Several connections, so that another one of them is no better.
      const transactions = Array.from({ length: 3 }, () => begin(messages));
      await Promise.all(transactions.map((each) => each.query("SELECT 1", [])));
      await Promise.all(transactions.map((each) => each.rollback()));
      proxy.freeze();
      const answers = [runners?.refresh(MEMBER.runnerId), runners?.listRunners(), runners?.listShards()];
      expect(await Promise.all<unknown>(answers)).toEqual(["held", [MEMBER], new Map()]);
    },
  );

  it("what cannot be opened through a black hole fails in time, too", async () => {
    await using proxy = await CuttingProxy.start(connectionString);
    proxy.mode = "black hole";
    const opening = open({ connectionString: proxy.url, statementDeadline: 200 });
    await expect(opening).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
  });

  // PgBouncer itself refuses a first packet in pieces.
  it.skipIf(options.pooler !== undefined)("answers that come byte by byte are answers", async () => {
    await using proxy = await CuttingProxy.start(connectionString);
    proxy.mode = "byte by byte";
    const { messages } = await open({ connectionString: proxy.url, poolSize: 4 });
    const fence = await claim(messages);
    const requests = Array.from({ length: 20 }, () => request());
    await Promise.all(requests.map((envelope) => messages.saveRequest(envelope, 1, fence)));
    const states = await messages.lookUp(requests.map(({ requestId }) => requestId));
    expect(states.map(({ state }) => state)).toEqual(requests.map(() => "pending"));
  });

  it("a statement that waits for a lock is cancelled by the server, and its connection stays", async () => {
    const { messages } = await open({ connectionString, lockTimeout: 100 });
    const fence = await claim(messages);
    const locker = new pg.Client({ connectionString: url ?? "" });
    await locker.connect();
    try {
      await locker.query("BEGIN");
      await locker.query(`SELECT 1 FROM ${backend.schema}.shards FOR UPDATE`);
      const saving = messages.saveRequest(request(), 0, fence);
      await expect(saving).rejects.toMatchObject({
        code: "PERSISTENCE",
        outcome: "not-written",
        detail: expect.stringMatching(/^55P03/) as unknown,
      });
    } finally {
      await locker.end();
    }
    expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
  });

  it("a claim does not wait for a transaction of the owner before it, which stands still and cannot commit any more", async () => {
    const { messages } = await open({
      connectionString,
      lockTimeout: "1 minute",
      statementDeadline: "1 minute",
    });
    const fence = await claim(messages);
    const frozen = new pg.Client({ connectionString: url ?? "" });
    const isCut = new Promise((resolve) => frozen.on("error", resolve));
    await frozen.connect();
    await frozen.query("BEGIN");
    await frozen.query(`SELECT 1 FROM ${backend.schema}.shards FOR SHARE`);
    expect(await messages.claimShards([fence.shardId])).toEqual([fence.epoch + 1]);
    await isCut;
    await expect(frozen.query("COMMIT")).rejects.toThrow();
  });

  it("a handler's statement has the server's deadline, lock and idle limits, on whatever session it runs", async () => {
    const { messages } = await open({
      connectionString,
      statementDeadline: "10s",
      lockTimeout: 4_000,
      idleTransactionTimeout: 5_000,
    });
    for (let turn = 0; turn < 3; turn += 1) {
      const transaction = begin(messages);
      const limits: unknown[] = [];
      for (const name of ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]) {
        const { rows } = await transaction.query<{ value: string }>("SELECT current_setting($1) AS value", [
          name,
        ]);
        limits.push(rows[0]?.value);
      }
      expect(limits).toEqual(["8s", "4s", "5s"]);
      await transaction.rollback();
    }
  });

  it("a transaction that finds no connection says so in time, and the runtime's statements go on meanwhile", async () => {
    const { messages } = await open({ connectionString, poolSize: 2, transactionWait: 100 });
    const fence = await claim(messages);
    const held = begin(messages);
    await held.query("SELECT 1", []);
    const refused = begin(messages).query("SELECT 1", []);
    await expect(refused).rejects.toMatchObject({
      code: "PERSISTENCE",
      outcome: "not-written",
      detail: expect.stringMatching(/no connection became free for a transaction within 100 ms/) as unknown,
    });
    expect(await messages.saveRequest(request(), 0, fence)).toMatchObject({ outcome: "accepted" });
    await held.rollback();
    const next = begin(messages);
    await next.query("SELECT 1", []);
    await next.rollback();
  });
}

describe.skipIf(url === null).each(DRIVERS)("deadlines through %s", (driver) => {
  deadlines(url ?? "", { driver, poolSize: 6 });
});

describe.skipIf(bouncer === null).each(DRIVERS)("deadlines through PgBouncer and %s", (driver) => {
  deadlines(bouncer?.url ?? "", { driver, poolSize: 6, pooler: "transaction" });
});

describe.skipIf(url === null)("a pg Pool of the user's that has nothing left", () => {
  it.each([1, 2])(
    "of %i connections: who waits is told in time, and all goes on when one is free",
    async (max) => {
      const backend = serverBackend(url ?? "");
      const pool = new pg.Pool({ connectionString: url ?? "", max });
      const session = await postgres({
        pool,
        schema: backend.schema,
        statementDeadline: 1_000,
        transactionWait: 100,
      }).open(services());
      try {
        const { messages } = session;
        const fence = await claim(messages);
        const taken = await Promise.all(Array.from({ length: max }, () => pool.connect()));
        await expect(messages.saveRequest(request(), 0, fence)).rejects.toMatchObject({
          code: "PERSISTENCE",
          outcome: "not-written",
          detail: "no connection became free within 1000 ms",
        });
        await expect(begin(messages).query("SELECT 1", [])).rejects.toMatchObject({ outcome: "not-written" });
        for (const client of taken) client.release();
        // One transaction at a time, and its reply on the same connection.
        for (let turn = 0; turn < 3; turn += 1) {
          const envelope = request();
          await messages.saveRequest(envelope, 1, fence);
          const transaction = begin(messages);
          await transaction.query("SELECT 1", []);
          await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
        }
      } finally {
        await session.close();
        await pool.end();
        await backend.dispose();
      }
    },
  );
});
