import type {
  Envelope,
  Fence,
  JournalEntry,
  MessageStorage,
  OpenStorage,
  Reply,
  ShardId,
} from "@holdfast/core/adapter";
import {
  ConfigError,
  FencedError,
  PersistenceError,
  TransactionUnavailableError,
} from "@holdfast/core/adapter";
import type { TransactionSql } from "postgres";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { commitStatement, writeStatement } from "../src/write-statement.ts";
import { postgres } from "../src/index.ts";
import { journalKeyOf } from "../src/journal-key.ts";
import { pendingOf, type PendingRows } from "../src/pending-rows.ts";
import { PostgresTransaction } from "../src/postgres-transaction.ts";
import { anyGroupStatement } from "../src/write-group.ts";
import type { WriteOp } from "../src/write-op.ts";
import { serverBackend, services } from "./backends.ts";
import { countRowsRead, NO_INBOX } from "./work.ts";

const url = inject("postgresUrl");
const EVERYTHING = { now: 10_000, limit: 10_000, excludingSequences: [], excludingEntities: [] };

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)(
  "the storage on a PostgreSQL server, through %s",
  (driver) => {
    let backend: ReturnType<typeof serverBackend>;
    let sessions: { close(): Promise<void> }[];
    let made = 0;

    beforeEach(() => {
      backend = serverBackend(url ?? "", { driver });
      sessions = [];
    });
    afterEach(async () => {
      for (const session of sessions) await session.close();
      await backend.dispose();
    });

    async function open(options: Parameters<typeof postgres>[0] = {}): Promise<OpenStorage> {
      const session = await postgres({
        ...(options.pool === undefined ? { driver, connectionString: url ?? "", poolSize: 6 } : {}),
        schema: backend.schema,
        ...options,
      }).open(services());
      sessions.push(session);
      return session;
    }

    /** A connection of the test's own, for statements that are stopped halfway. */
    async function connect(): Promise<pg.Client> {
      const client = new pg.Client({ connectionString: url ?? "" });
      await client.connect();
      sessions.push({ close: () => client.end() });
      return client;
    }

    function request(changes: Partial<Envelope> = {}): Envelope {
      made += 1;
      return {
        requestId: `request-${made}`,
        address: { entityType: "Counter", entityId: "a", shardId: "default:1" },
        tag: "increment",
        payload: "{}",
        headers: {},
        persisted: true,
        expects: "reply",
        deduplicationKey: null,
        deliverAt: null,
        uninterruptible: false,
        fromInside: false,
        sender: "test",
        readPendingFirst: false,
        ...changes,
      };
    }

    function succeeded(requestId: string): { requestId: string; exit: { ok: true; value: string } } {
      return { requestId, exit: { ok: true, value: "1" } };
    }

    async function claim(messages: MessageStorage, shardId: ShardId = "default:1"): Promise<Fence> {
      const [epoch = 0] = await messages.claimShards([shardId]);
      return { shardId, epoch };
    }

    function begin(messages: MessageStorage): PostgresTransaction {
      const transaction = messages.beginTransaction?.();
      if (!(transaction instanceof PostgresTransaction))
        throw new Error("The storage begins no transaction of its own.");
      return transaction;
    }

    /** Resolves once a statement that has `text` in it waits for a lock. */
    async function waitsForLock(text: string): Promise<void> {
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`;
      while ((await backend.sql(waiting, [`%"${backend.schema}".${text}%`])).length === 0);
    }

    async function journal(messages: MessageStorage, ids: readonly string[]): Promise<string[]> {
      return (await messages.lookUp(ids)).map(({ requestId }) => requestId).toSorted();
    }

    describe("a fenced write and a claim, stopped at each statement (INV-1)", () => {
      const anyStatement: typeof writeStatement = (schema, group, terms) =>
        anyGroupStatement(schema, group, false, terms);
      /** That of the session which claimed the shard. */
      const gate = async (): Promise<string> => {
        const [row] = await backend.sql<{ gate: string }>(`SELECT gate::text FROM ${backend.schema}.shards`);
        return row?.gate ?? "";
      };
      const claimText = (): string => `SELECT "${backend.schema}".claim_shards_v1('{default:1}')`;

      it.each([
        ["a write alone", writeStatement, 1, false],
        ["a group", writeStatement, 2, true],
        ["a group with fences of others", writeStatement, 2, false],
        ["a group of any kind", anyStatement, 2, true],
        ["a group of any kind with fences of others", anyStatement, 2, false],
      ])(
        "lets a claim wait for %s that has locked its fence, and then what it wrote is there",
        async (_what, statementOf, count, isGated) => {
          const { messages } = await open();
          const fence = await claim(messages);
          const written = Array.from({ length: count }, () => request());
          const writer = await connect();
          await writer.query("BEGIN");
          const statement = statementOf(
            backend.schema,
            written.map((envelope) => ({ type: "request", envelope, attempts: 0, fence })),
            { now: 0, gate: isGated ? await gate() : null },
          );
          await writer.query(statement.text, [...statement.values]);

          let isClaimed = false;
          const claiming = claim((await open()).messages).finally(() => (isClaimed = true));
          await waitsForLock("claim_shards_v9");
          expect(isClaimed).toBe(false);
          await writer.query("COMMIT");
          await claiming;
          const ids = written.map(({ requestId }) => requestId);
          expect(await journal(messages, ids)).toEqual(ids.toSorted());
        },
      );

      it("lets nobody raise an epoch beside a group of the storage's own, not a function of the release before either", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const locker = await connect();
        await locker.query("BEGIN");
        await locker.query(`LOCK TABLE ${backend.schema}.requests IN SHARE MODE`);
        const written = [request(), request()];
        const writing = written.map((envelope) => messages.saveRequest(envelope, 0, fence));
        await waitsForLock("write_group_v10");
        let isRaised = false;
        const raising = backend
          .sql(`UPDATE "${backend.schema}".shards SET epoch = epoch + 1`)
          .finally(() => (isRaised = true));
        await waitsForLock("shards SET");
        expect(isRaised).toBe(false);
        await locker.query("COMMIT");
        await raising;
        expect((await Promise.all(writing)).map(({ outcome }) => outcome)).toEqual(["accepted", "accepted"]);
        await expect(messages.saveRequest(request(), 0, fence)).rejects.toBeInstanceOf(FencedError);
      });

      it("lets a claim wait for a group of the storage's own, which holds its fence without a lock on a row", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const locker = await connect();
        await locker.query("BEGIN");
        await locker.query(`LOCK TABLE ${backend.schema}.requests IN SHARE MODE`);
        const written = [request(), request()];
        const writing = written.map((envelope) => messages.saveRequest(envelope, 0, fence));
        await waitsForLock("write_group_v10");
        // The row is free: what the claim waits for is the gate.
        await backend.sql(`SELECT 1 FROM ${backend.schema}.shards FOR UPDATE NOWAIT`);
        let isClaimed = false;
        const claiming = claim((await open()).messages).finally(() => (isClaimed = true));
        await waitsForLock("claim_shards_v9");
        expect(isClaimed).toBe(false);
        await locker.query("COMMIT");
        await claiming;
        expect((await Promise.all(writing)).map(({ outcome }) => outcome)).toEqual(["accepted", "accepted"]);
        await expect(messages.saveRequest(request(), 0, fence)).rejects.toBeInstanceOf(FencedError);
      });

      it.each([
        ["a write alone", "write_request_v6", 1],
        ["a group", "write_group_v10", 2],
      ])(
        "makes %s wait for a claim under way, and refuses it once that committed",
        async (_what, waiting, count) => {
          const { messages } = await open();
          const fence = await claim(messages);
          const claimer = await connect();
          await claimer.query("BEGIN");
          await claimer.query(claimText());
          const written = Array.from({ length: count }, () => request());
          const writing = Promise.allSettled(
            written.map((envelope) => messages.saveRequest(envelope, 0, fence)),
          );
          await waitsForLock(waiting);
          await claimer.query("COMMIT");
          expect(await writing).toEqual(
            written.map(() => ({ status: "rejected", reason: expect.any(FencedError) })),
          );
          expect(await messages.lookUp(written.map(({ requestId }) => requestId))).toEqual([]);
        },
      );

      it("lets that write pass if the claim rolled back", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const claimer = await connect();
        await claimer.query("BEGIN");
        await claimer.query(claimText());
        const writing = messages.saveRequest(request(), 0, fence);
        await waitsForLock("write_request_v6");
        await claimer.query("ROLLBACK");
        expect(await writing).toMatchObject({ outcome: "accepted" });
      });

      it("does not let a handler's transaction keep a claim waiting while the handler works", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        const transaction = begin(messages);
        await transaction.query("SELECT 1", []);
        const next = await claim((await open()).messages);
        expect(next.epoch).toBeGreaterThan(fence.epoch);
        await expect(
          messages.saveReply(succeeded(envelope.requestId), fence, transaction),
        ).rejects.toBeInstanceOf(FencedError);
      });

      it.each<
        [what: string, op: "request" | "step" | "reply" | "attempt", end: "alone" | "prepared" | "called"]
      >([
        ["a request with its reply", "request", "alone"],
        ["a step", "step", "alone"],
        ["a reply", "reply", "alone"],
        ["a count of attempts", "attempt", "alone"],
        ["a step at the end of a handler's transaction", "step", "prepared"],
        ["a step at the end of a handler's transaction that prepares nothing", "step", "called"],
      ])("lets a claim wait for %s that has locked its fence", async (_what, kind, end) => {
        const { messages, workflows } = await open();
        const fence = await claim(messages);
        const [envelope, answered] = [request(), request()];
        await messages.saveRequest(envelope, 1, fence);
        const { requestId } = envelope;
        const execution = { entityType: "Order", executionId: "x" };
        const event = { type: "completed", value: "1" } as const;
        const entry = { ordinal: 0, position: 0, kind: "run", name: "step", event } as const;
        const key = journalKeyOf(execution);
        const op: WriteOp = {
          request: {
            type: "request",
            envelope: answered,
            attempts: 1,
            fence,
            reply: succeeded(answered.requestId),
          } as const,
          step: { type: "journal", execution, key, entries: [entry], fence } as const,
          reply: { type: "reply", reply: succeeded(requestId), fence } as const,
          attempt: { type: "update", requestId, attempts: 7, deliverAt: undefined, fence } as const,
        }[kind];
        const { text, values } =
          end === "alone"
            ? writeStatement(backend.schema, [op], { now: 0, gate: null })
            : commitStatement(backend.schema, op, { now: 0, isPrepared: end === "prepared" });
        const writer = await connect();
        await writer.query("BEGIN");
        await writer.query(text, [...values]);

        let isClaimed = false;
        const other = await open();
        const claiming = claim(other.messages).finally(() => (isClaimed = true));
        await Promise.race([waitsForLock("claim_shards_v9"), claiming]);
        expect(isClaimed).toBe(false);
        await writer.query("COMMIT");
        await claiming;
        const [state] = await other.messages.lookUp([kind === "request" ? answered.requestId : requestId]);
        if (kind === "step")
          expect((await workflows.readExecution(execution, NO_INBOX)).entries).toEqual([entry]);
        else if (kind === "attempt") expect(state).toMatchObject({ state: "pending", attempts: 7 });
        else expect(state).toMatchObject({ state: "answered" });
      });

      it("lets a claim wait for the end of a handler's transaction that has locked its fence", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        const handler = await connect();
        await handler.query("BEGIN");
        const op = { type: "reply", reply: succeeded(envelope.requestId), fence } as const;
        const statement = commitStatement(backend.schema, op, { now: 0, isPrepared: true });
        await handler.query(statement.text, [...statement.values]);

        let isClaimed = false;
        const other = (await open()).messages;
        const claiming = claim(other).finally(() => (isClaimed = true));
        await waitsForLock("claim_shards_v9");
        expect(isClaimed).toBe(false);
        await handler.query("COMMIT");
        await claiming;
        expect(await other.lookUp([envelope.requestId])).toMatchObject([{ state: "answered" }]);
      });

      it.each(["reply", "step"] as const)(
        "makes the end of a handler's transaction wait for a claim under way, and rolls all of it back (%s)",
        async (kind) => {
          const { messages, workflows } = await open();
          const fence = await claim(messages);
          const envelope = request();
          await messages.saveRequest(envelope, 1, fence);
          const claimer = await connect();
          await claimer.query("BEGIN");
          await claimer.query(claimText());

          const transaction = begin(messages);
          await backend.transactions?.write(transaction, "late");
          const execution = { entityType: "Order", executionId: "x" };
          const event = { type: "completed", value: "1" } as const;
          const entry = { ordinal: 0, position: 0, kind: "run", name: "step", event } as const;
          const ending =
            kind === "reply"
              ? messages.saveReply(succeeded(envelope.requestId), fence, transaction)
              : workflows.appendJournal(execution, [entry], fence, transaction);
          const refused = expect(ending).rejects.toBeInstanceOf(FencedError);
          await waitsForLock(kind === "reply" ? "commit_reply_v3" : "journal (key");
          await claimer.query("COMMIT");
          await refused;
          expect(await messages.lookUp([envelope.requestId])).toMatchObject([{ state: "pending" }]);
          expect((await workflows.readExecution(execution, NO_INBOX)).entries).toEqual([]);
          expect(await backend.transactions?.has("late")).toBe(false);
        },
      );
    });

    it.each([{}, { prepare: false }])(
      "rolls a handler's transaction back if an entry of that ordinal is there (%j)",
      async (options) => {
        const { messages, workflows } = await open({ poolSize: 3, ...options });
        const fence = await claim(messages);
        const execution = { entityType: "Order", executionId: "x" };
        const event = { type: "completed", value: "1" } as const;
        const entry = { ordinal: 0, position: 0, kind: "run", name: "step", event } as const;
        await workflows.appendJournal(execution, [entry], fence, null);
        const transaction = begin(messages);
        await backend.transactions?.write(transaction, "twice");
        const ending = workflows.appendJournal(execution, [{ ...entry, name: "other" }], fence, transaction);
        await expect(ending).rejects.toMatchObject({ outcome: "unknown" });
        expect(await backend.transactions?.has("twice")).toBe(false);
        expect((await workflows.readExecution(execution, NO_INBOX)).entries).toEqual([entry]);
        const next = begin(messages);
        await backend.transactions?.write(next, "once");
        await workflows.appendJournal(execution, [{ ...entry, ordinal: 1 }], fence, next);
        expect(await backend.transactions?.has("once")).toBe(true);
        const unclaimed = begin(messages);
        await backend.transactions?.write(unclaimed, "unclaimed");
        const nobodys = { shardId: "default:77", epoch: 1 } as const;
        await expect(
          workflows.appendJournal(execution, [{ ...entry, ordinal: 2 }], nobodys, unclaimed),
        ).rejects.toBeInstanceOf(FencedError);
        expect(await backend.transactions?.has("unclaimed")).toBe(false);
      },
    );

    describe("a group", () => {
      it("loses the writes of a stale shard and no other", async () => {
        const { messages } = await open();
        const stale = await claim(messages, "default:1");
        await claim((await open()).messages, "default:1");
        const held = await claim(messages, "default:2");
        const other = { entityType: "Counter", entityId: "b", shardId: held.shardId };
        const requests = Array.from({ length: 100 }, (_, index) =>
          request(index % 2 === 0 ? { address: other } : {}),
        );
        const saved = await Promise.allSettled(
          requests.map((envelope, index) =>
            messages.saveRequest(envelope, 0, index % 2 === 0 ? held : stale),
          ),
        );
        expect(saved.map(({ status }) => status)).toEqual(
          requests.map((_, index) => (index % 2 === 0 ? "fulfilled" : "rejected")),
        );
        const expected = requests.filter((_, index) => index % 2 === 0).map(({ requestId }) => requestId);
        expect(
          await journal(
            messages,
            requests.map(({ requestId }) => requestId),
          ),
        ).toEqual(expected.toSorted());
      });

      it("of which something is there already writes the rest, and says of each what became of it", async () => {
        const { messages, workflows } = await open();
        const fence = await claim(messages);
        const [known, answered, waiting, fresh] = [request(), request(), request(), request()];
        for (const envelope of [known, answered, waiting]) await messages.saveRequest(envelope, 0, fence);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const execution = { entityType: "Order", executionId: "1" };
        const entry = (ordinal: number, value: string): JournalEntry => ({
          ordinal,
          position: ordinal,
          kind: "run",
          name: "step",
          event: { type: "completed", value },
        });
        await workflows.appendJournal(execution, [entry(0, "1")], fence, null);
        const other: Reply = { requestId: answered.requestId, exit: { ok: true, value: "another" } };
        expect(
          await Promise.all([
            messages.saveRequest(known, 0, fence),
            messages.saveRequest(fresh, 0, fence),
            messages.saveReply(other, fence, null),
            messages.saveReply(succeeded(waiting.requestId), fence, null),
            workflows.appendJournal(execution, [entry(0, "2"), entry(1, "2")], fence, null),
          ]),
        ).toMatchObject([
          { outcome: "duplicate" },
          { outcome: "accepted" },
          succeeded(answered.requestId),
          succeeded(waiting.requestId),
          undefined,
        ]);
        const states = await messages.lookUp(
          [known, answered, waiting, fresh].map(({ requestId }) => requestId),
        );
        expect(Object.fromEntries(states.map(({ requestId, state }) => [requestId, state]))).toEqual({
          [known.requestId]: "pending",
          [answered.requestId]: "answered",
          [waiting.requestId]: "answered",
          [fresh.requestId]: "pending",
        });
        const { entries } = await workflows.readExecution(execution, NO_INBOX);
        expect(entries.map(({ event }) => event)).toEqual(
          ["1", "2"].map((value) => ({ type: "completed", value })),
        );
      });

      it("is divided until a row that the database refuses fails alone, and says that it was not written", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const requests = Array.from({ length: 60 }, (_, index) =>
          request(index === 37 ? { sender: "a \0 byte" } : {}),
        );
        const saved = await Promise.allSettled(
          requests.map((envelope) => messages.saveRequest(envelope, 0, fence)),
        );
        const failed = saved.flatMap((result, index) =>
          result.status === "rejected" ? [{ index, error: result.reason as unknown }] : [],
        );
        expect(failed).toEqual([{ index: 37, error: expect.any(PersistenceError) }]);
        expect(failed[0]?.error).toMatchObject({ outcome: "not-written" });
        const sequences = saved.flatMap((result) =>
          result.status === "fulfilled" ? [result.value.sequence] : [],
        );
        expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
        expect(sequences).toHaveLength(59);
      });

      it("fails every later append to a journal together with the one that failed", async () => {
        const { messages, workflows } = await open();
        const fence = await claim(messages);
        const append = (executionId: string, ordinal: number, value: string): Promise<void> =>
          workflows.appendJournal(
            { entityType: "Order", executionId },
            [{ ordinal, position: ordinal, kind: "run", name: "step", event: { type: "completed", value } }],
            fence,
            null,
          );
        const appends = await Promise.allSettled([
          append("good", 0, "1"),
          append("bad", 0, "1"),
          append("bad", 1, "\0"),
          append("bad", 2, "1"),
          append("good", 1, "1"),
        ]);
        expect(appends.map(({ status }) => status)).toEqual([
          "fulfilled",
          "fulfilled",
          "rejected",
          "rejected",
          "fulfilled",
        ]);
        const ordinals = async (executionId: string): Promise<number[]> => {
          const { entries } = await workflows.readExecution({ entityType: "Order", executionId }, NO_INBOX);
          return entries.map(({ ordinal }) => ordinal);
        };
        expect([await ordinals("good"), await ordinals("bad")]).toEqual([[0, 1], [0]]);
      });
    });

    describe("a handler's transaction", () => {
      it("gives the driver's own client once it has begun, and not after", async () => {
        const { messages } = await open();
        const transaction = begin(messages);
        await transaction.begin();
        const insert = `INSERT INTO ${backend.schema}_effects VALUES ('by native')`;
        const native = transaction.native as {
          query?(text: string): unknown;
          unsafe?(text: string): unknown;
        };
        await (native.query?.(insert) ?? native.unsafe?.(insert));
        await transaction.rollback();
        expect(() => transaction.native).toThrow(TransactionUnavailableError);
        await expect(transaction.query("SELECT 1", [])).rejects.toBeInstanceOf(TransactionUnavailableError);
        expect(await backend.transactions?.has("by native")).toBe(false);
      });

      it("begins with the first statement of the driver's own client", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const insert = `INSERT INTO ${backend.schema}_effects VALUES ($1)`;
        for (const isKept of [true, false]) {
          const envelope = request();
          await messages.saveRequest(envelope, 1, fence);
          const transaction = begin(messages);
          const native = transaction.native as pg.PoolClient & TransactionSql;
          const run = async (key: string): Promise<number | null> =>
            driver === "postgres.js"
              ? (await native.unsafe(insert, [key])).count
              : (await native.query(insert, [key])).rowCount;
          expect(await Promise.all([1, 2].map((n) => run(`${isKept} ${n}`)))).toEqual([1, 1]);
          if (isKept) await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
          else await transaction.rollback();
          for (const n of [1, 2]) expect(await backend.transactions?.has(`${isKept} ${n}`)).toBe(isKept);
          await expect(run("late")).rejects.toBeInstanceOf(TransactionUnavailableError);
        }
      });

      it("shows the user's own error with its code, and says why it cannot commit after it", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        const transaction = begin(messages);
        const insert = `INSERT INTO ${backend.schema}_effects VALUES ('twice')`;
        await backend.transactions?.has("made");
        await transaction.query(insert, []);
        await expect(transaction.query(insert, [])).rejects.toMatchObject({ code: "23505" });
        const saving = messages.saveReply(succeeded(envelope.requestId), fence, transaction);
        await expect(saving).rejects.toThrow(/23505.*cannot commit/);
        await expect(saving).rejects.toMatchObject({ code: "TRANSACTION_UNAVAILABLE", retryable: false });
      });

      it("prepares a user's statement again after its table changed, which at worst costs one more attempt", async () => {
        const { messages } = await open();
        await backend.sql(`CREATE TABLE ${backend.schema}.mine (a int)`);
        const read = async (): Promise<number> => {
          const transaction = begin(messages);
          try {
            return (await transaction.query(`SELECT * FROM ${backend.schema}.mine WHERE a > $1`, [0])).rows
              .length;
          } finally {
            await transaction.rollback();
          }
        };
        // On several connections at once, so that each of them has prepared it.
        expect(await Promise.all([read(), read(), read()])).toEqual([0, 0, 0]);
        await backend.sql(`ALTER TABLE ${backend.schema}.mine ADD COLUMN b int`);
        const first = await read().catch((error: unknown) => error);
        if (first !== 0) expect(first).toMatchObject({ code: "0A000", retryable: true });
        expect(await Promise.all([read(), read(), read()])).toEqual([0, 0, 0]);
      });

      it.each([
        ["int", "bigint", "INSERT INTO altered (v) VALUES ($1)", "1", "3000000000"],
        ["text", "jsonb", "INSERT INTO altered (v) VALUES ($1)", "x", '"x"'],
        ["text", "uuid", "SELECT v FROM altered WHERE v = $1", "x", "b5e6c1f2-0000-4000-8000-000000000001"],
      ])(
        "prepares it again after %s became %s, whose parameters had the type from before: %s",
        async (before, after, text, valueBefore, valueAfter) => {
          const { messages } = await open();
          const table = `${backend.schema}.altered`;
          await backend.sql(`CREATE TABLE ${table} (v ${before})`);
          const run = async (value: string): Promise<unknown> => {
            const transaction = begin(messages);
            try {
              await transaction.query(text.replace("altered", table), [value]);
              return "done";
            } catch (error) {
              return error;
            } finally {
              await transaction.rollback();
            }
          };
          const several = (value: string): Promise<unknown[]> =>
            Promise.all([run(value), run(value), run(value)]);
          expect(await several(valueBefore)).toEqual(["done", "done", "done"]);
          await backend.sql(`ALTER TABLE ${table} ALTER COLUMN v TYPE ${after} USING NULL`);
          for (const first of await several(valueAfter))
            if (first !== "done") expect(first).toMatchObject({ retryable: true });
          expect(await several(valueAfter)).toEqual(["done", "done", "done"]);
          // A value that is wrong is a failure, now and at once, and has nobody prepare anything.
          const isPlain = (error: unknown): boolean => error instanceof Error && !("retryable" in error);
          if (after === "jsonb") expect((await several("{")).map(isPlain)).toEqual([true, true, true]);
        },
      );

      it("goes on after a statement that failed behind a savepoint", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        const transaction = begin(messages);
        await transaction.query("SAVEPOINT risky", []);
        await expect(transaction.query("SELECT 1 / 0", [])).rejects.toMatchObject({ code: "22012" });
        await transaction.query("ROLLBACK TO SAVEPOINT risky", []);
        await expect(
          messages.saveReply(succeeded(envelope.requestId), fence, transaction),
        ).resolves.toMatchObject({ exit: { ok: true } });
      });

      it("that does nothing for too long is ended by the server, and nothing of it is written", async () => {
        // With time for the schema, which is made in a transaction, too.
        await open();
        const { messages } = await open({ idleTransactionTimeout: 50 });
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        await backend.transactions?.has("made");
        const transaction = begin(messages);
        // One statement: between two of them a busy machine may do nothing for too long.
        const { rows } = await transaction.query<{ pid: number }>(
          `INSERT INTO ${backend.schema}_effects VALUES ('idle') RETURNING pg_backend_pid() AS pid`,
          [],
        );
        const [{ pid }] = rows as [{ pid: number }];
        while ((await backend.sql("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [pid])).length > 0);
        await expect(transaction.query("SELECT 1", [])).rejects.toMatchObject({
          code: "PERSISTENCE",
          outcome: "not-written",
          // postgres.js does not tell what a server says while nothing is under way.
          message: driver === "pg" ? expect.stringContaining("25P03: terminating") : expect.any(String),
        });
        await expect(
          messages.saveReply(succeeded(envelope.requestId), fence, transaction),
        ).rejects.toBeInstanceOf(PersistenceError);
        expect(await backend.transactions?.has("idle")).toBe(false);
        await messages.saveReply(succeeded(envelope.requestId), fence, null);
      });

      it("is refused when all that handlers may hold are taken, and everything else goes on", async () => {
        const { messages } = await open({ poolSize: 4, transactionWait: 50 });
        const held = [begin(messages), begin(messages)];
        for (const transaction of held) await transaction.query("SELECT 1", []);
        const one = begin(messages);
        const refused = expect(one.query("SELECT 1", [])).rejects;
        await refused.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
        expect(await messages.saveRequest(request(), 0, null)).toMatchObject({ outcome: "accepted" });
        for (const transaction of held) await transaction.rollback();
        await begin(messages).query("SELECT 1", []);
      });

      it("rolls back what would be recorded twice in a journal", async () => {
        const { messages, workflows } = await open();
        const fence = await claim(messages);
        const execution = { entityType: "Order", executionId: "1" };
        const entry = {
          ordinal: 0,
          position: 0,
          kind: "run",
          name: "step",
          event: { type: "completed", value: "1" },
        } as const;
        await workflows.appendJournal(execution, [entry], fence, null);
        await backend.transactions?.has("made");
        const transaction = begin(messages);
        await transaction.query(`INSERT INTO ${backend.schema}_effects VALUES ('twice')`, []);
        await expect(workflows.appendJournal(execution, [entry], fence, transaction)).rejects.toMatchObject({
          outcome: "unknown",
        });
        expect(await backend.transactions?.has("twice")).toBe(false);
      });

      it("works on a pool of the user's, without pipelining, and leaves the pool open", async () => {
        const pool = new pg.Pool({ connectionString: url ?? "", max: 4 });
        try {
          const session = await open({ pool });
          const { messages } = session;
          const fence = await claim(messages);
          const envelope = request();
          await messages.saveRequest(envelope, 1, fence);
          await backend.transactions?.has("made");
          const transaction = begin(messages);
          await transaction.query(`INSERT INTO ${backend.schema}_effects VALUES ('mine')`, []);
          const { rows } = await transaction.query<{ lock_timeout: string }>("SHOW lock_timeout", []);
          expect(rows).toEqual([{ lock_timeout: "10s" }]);
          await messages.saveReply(succeeded(envelope.requestId), fence, transaction);
          expect(await backend.transactions?.has("mine")).toBe(true);
          await session.close();
          expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
        } finally {
          await pool.end();
        }
      });
    });

    describe("the schema", () => {
      it("is migrated once by any number of processes that start at once", async () => {
        await Promise.all(Array.from({ length: 8 }, () => open({ poolSize: 2 })));
        await open();
        const applied = await backend.sql(
          `SELECT version FROM ${backend.schema}.migrations ORDER BY version`,
        );
        expect(applied.length).toBeGreaterThan(1);
        expect(applied).toEqual(applied.map((_, index) => ({ version: index + 1 })));
      });

      it("waits for who migrates it already for longer than a transaction of its user may take", async ({
        skip,
      }) => {
        const setting = "SELECT 1 FROM pg_settings WHERE name = 'transaction_timeout'";
        skip((await backend.sql(setting)).length === 0, "PostgreSQL has it since version 17");
        const other = await connect();
        try {
          await other.query("SELECT pg_advisory_lock(x'686f6c64'::int, hashtext($1))", [backend.schema]);
          const limited = new URL(url ?? "");
          limited.searchParams.set("options", "-c transaction_timeout=1000");
          const opening = open({ connectionString: limited.href });
          opening.catch(() => undefined);
          const waiting = `SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted
            AND l.locktype = 'advisory' AND l.objid = hashtext($1)::bit(32)::bigint::oid
            AND clock_timestamp() - a.xact_start > interval '1500 ms'`;
          const waits = async (): Promise<number> => (await backend.sql(waiting, [backend.schema])).length;
          await expect.poll(waits, { timeout: 20_000 }).toBe(1);
          await other.query("SELECT pg_advisory_unlock_all()");
          await opening;
        } finally {
          await other.end();
        }
      });

      it("of a later release that this one cannot work beside is refused", async () => {
        await open();
        await backend.sql(`INSERT INTO ${backend.schema}.migrations VALUES (99, 98)`);
        await expect(open()).rejects.toBeInstanceOf(ConfigError);
      });

      it("reads pending work without a look at sleepers or at what is answered", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const answered = Array.from({ length: 300 }, () => request());
        await Promise.all(answered.map((envelope) => messages.saveRequest(envelope, 1, fence)));
        await Promise.all(
          answered.map(({ requestId }) => messages.saveReply(succeeded(requestId), fence, null)),
        );
        const sleepers = Array.from({ length: 3_000 }, (_, index) =>
          request({ deliverAt: 1_000_000 + index }),
        );
        await Promise.all(sleepers.map((envelope) => messages.saveRequest(envelope, 0, fence)));
        await Promise.all(Array.from({ length: 5 }, () => messages.saveRequest(request(), 0, fence)));
        await backend.sql(`VACUUM ${backend.schema}.pending`);

        const { found, read } = await readPage(["default:1", "default:2"], 100);
        expect(found).toBe(5);
        expect(read).toBeLessThan(20);
      });

      it("reads a page of a backlog on one of many shards, and little more", async () => {
        await open();
        const { schema } = backend;
        const shardIds = Array.from({ length: 50 }, (_, index): ShardId => `default:${index}`);
        await backend.sql(
          `INSERT INTO ${schema}.requests (request_id, shard_id, entity_type, entity_id, tag, payload, headers, expects,
             uninterruptible, from_inside, read_pending_first, sender)
           SELECT 'r' || i, 'default:1', 'Counter', 'a', 'add', '{}', '{}', 'reply', true, false, false, 'test'
             FROM generate_series(1, 3000) AS i`,
        );
        await backend.sql(
          `INSERT INTO ${schema}.pending SELECT sequence, shard_id, entity_type, entity_id, 0, NULL FROM ${schema}.requests`,
        );
        await backend.sql(`ANALYZE ${schema}.pending`);
        for (const ahead of [0, 404]) {
          const { found, read } = await readPage(shardIds, 100, ahead);
          expect(found).toBe(100);
          expect(read).toBeLessThan(1_000);
        }
      });

      it("reads a page of dead letters, and nothing of those before it", async () => {
        await open();
        const { schema } = backend;
        await backend.sql(
          `INSERT INTO ${schema}.requests (request_id, shard_id, entity_type, entity_id, tag, payload, headers, expects,
             uninterruptible, from_inside, read_pending_first, sender)
           SELECT 'r' || i, 'default:1', 'Counter', 'a', 'add', '{}', '{}', 'reply', true, false, false, 'test'
             FROM generate_series(1, 3000) AS i`,
        );
        // As many died at one moment as are on three pages.
        await backend.sql(
          `INSERT INTO ${schema}.dead_letters SELECT sequence, request_id, 1, '{}', sequence / 60 FROM ${schema}.requests`,
        );
        const reader = await connect();
        await reader.query("BEGIN");
        const ids: string[] = [];
        const read: number[] = [];
        for (;;) {
          const before = await countRowsRead(reader, schema);
          const { rows } = await reader.query<{ request_id: string }>(
            `SELECT request_id FROM ${schema}.list_dead_letters_v1(20, $1)`,
            [ids.at(-1) ?? null],
          );
          if (rows.length === 0) break;
          ids.push(...rows.map(({ request_id: id }) => id));
          read.push((await countRowsRead(reader, schema)) - before);
        }
        expect(new Set(ids).size).toBe(3_000);
        expect(ids.length).toBe(3_000);
        expect(Math.max(...read)).toBeLessThan(100);
      });

      /** Reads what is due, and tells how many rows PostgreSQL read for it. */
      async function readPage(
        shardIds: readonly ShardId[],
        limit: number,
        ahead = 0,
      ): Promise<{ found: number; read: number }> {
        const reader = await connect();
        await reader.query("BEGIN");
        const { rows } = await reader.query<{ answer: string }>(
          `SELECT ${backend.schema}.read_pending_v11($1, 10000, $2, '{}', '{}', '{}', $3) AS answer`,
          [shardIds, limit, ahead],
        );
        const answer = JSON.parse(rows[0]?.answer ?? "") as { rows: readonly PendingRows[] | null };
        const found = pendingOf(answer.rows ?? []).length;
        return { found, read: await countRowsRead(reader, backend.schema) };
      }
    });

    describe("a sweep", () => {
      it("reads what it forgets and no more, however much is kept", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const requests = Array.from({ length: 3_000 }, (_, index) => {
          const address = { entityType: "workflow:Order", entityId: `e${index}`, shardId: fence.shardId };
          return request({ address, tag: "execute", deduplicationKey: "execute" });
        });
        await Promise.all(requests.map((envelope) => messages.saveRequest(envelope, 1, fence)));
        await Promise.all(
          requests.map(({ requestId }) => messages.saveReply(succeeded(requestId), fence, null)),
        );
        const reader = await connect();
        await reader.query("BEGIN");
        const { rows: forgotten } = await reader.query<{ count: number }>(
          `SELECT ${backend.schema}.forget_answered_v4('workflow:Order', ${Date.now() + 60_000}, 20, 'execute') AS count`,
        );
        expect(forgotten).toEqual([{ count: 20 }]);
        const read = await countRowsRead(reader, backend.schema);
        expect(read).toBeLessThan(200);
      });

      it("leaves to another one what that has in hand, and waits for nobody", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const requests = Array.from({ length: 30 }, () => request());
        await Promise.all(requests.map((envelope) => messages.saveRequest(envelope, 1, fence)));
        await Promise.all(
          requests.map(({ requestId }) => messages.saveReply(succeeded(requestId), fence, null)),
        );
        const query = { entityType: "Counter", answeredBefore: Date.now() + 60_000, limit: 20 };
        const other = await connect();
        await other.query("BEGIN");
        await other.query(
          `SELECT ${backend.schema}.forget_answered_v4('Counter', ${query.answeredBefore}, 20, NULL)`,
        );
        expect(await messages.forgetAnswered(query)).toBe(10);
        await other.query("COMMIT");
        expect(await messages.forgetAnswered(query)).toBe(0);
      });
    });

    describe("a server that fails", () => {
      it("loses and doubles nothing when its processes are ended under load", async () => {
        const { messages } = await open();
        const fence = await claim(messages);
        const requests = Array.from({ length: 400 }, (_, index) =>
          request({ deduplicationKey: `key-${index}` }),
        );
        const admin = await connect();
        const endAll = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'holdfast' AND query LIKE '%"${backend.schema}".%'`;
        let done = 0;
        let failures = 0;
        const save = async (envelope: Envelope): Promise<void> => {
          for (;;) {
            try {
              await messages.saveRequest(envelope, 1, fence);
              await messages.saveReply(succeeded(envelope.requestId), fence, null);
              break;
            } catch (error) {
              expect(error).toBeInstanceOf(PersistenceError);
              failures += 1;
            }
          }
          done += 1;
          if (done % 50 === 0 && done < requests.length) await admin.query(endAll);
        };
        const queue = [...requests];
        const workers = Array.from({ length: 20 }, async () => {
          for (let next = queue.pop(); next !== undefined; next = queue.pop()) await save(next);
        });
        await Promise.all(workers);
        expect(failures).toBeGreaterThan(0);
        // A connection whose server process was ended may show it only now.
        const states = async (): Promise<unknown> =>
          (await messages.lookUp(requests.map(({ requestId }) => requestId))).map(({ state }) => state);
        await expect.poll(states).toEqual(requests.map(() => "answered"));
        const pending = async (): Promise<unknown> =>
          (await messages.readPending({ ...EVERYTHING, shardIds: ["default:1"] })).requests;
        await expect.poll(pending).toEqual([]);
      });

      it("says of a read that was cut off that nothing was written", async () => {
        await using proxy = await CuttingProxy.start(url ?? "");
        const { messages } = await open({ connectionString: proxy.url });
        proxy.cutAfter("look_up_v1");
        await expect(messages.lookUp(["request"])).rejects.toMatchObject({
          code: "PERSISTENCE",
          outcome: "not-written",
        });
        expect(await messages.lookUp(["request"])).toEqual([]);
      });

      it("that cannot be reached is a PersistenceError: nothing was written", async () => {
        const opening = postgres({ connectionString: "postgres://user:secret@127.0.0.1:1/none" }).open(
          services(),
        );
        await expect(opening).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
        await expect(opening).rejects.not.toThrow(/secret/);
      });
    });

    describe("a connection that is lost while a group is written", () => {
      it("tells every write of a group that its outcome is unknown, and a repetition finds what was written", async () => {
        await using proxy = await CuttingProxy.start(url ?? "");
        const { messages } = await open({ connectionString: proxy.url });
        const fence = await claim(messages);
        const requests = Array.from({ length: 30 }, () => request({ sender: "cut here" }));
        await messages.saveRequest(request(), 0, fence);
        proxy.cutAfter("cut here");
        const saved = await Promise.allSettled(
          requests.map((envelope) => messages.saveRequest(envelope, 0, fence)),
        );
        for (const result of saved) {
          expect(result).toMatchObject({
            status: "rejected",
            reason: { code: "PERSISTENCE", outcome: "unknown" },
          });
        }
        const repeated = await Promise.all(
          requests.map((envelope) => messages.saveRequest(envelope, 0, fence)),
        );
        expect(new Set(repeated.map(({ sequence }) => sequence)).size).toBe(30);
        expect(
          (await messages.readPending({ ...EVERYTHING, shardIds: ["default:1"] })).requests,
        ).toHaveLength(31);
      });
    });

    it("wakes every shard that was ever claimed after the connection that listens was lost", async () => {
      const { messages } = await open();
      await messages.claimShards(["default:1", "default:7"]);
      const woken = new Set<string>();
      const heard = Promise.withResolvers<void>();
      const end = await messages.watchPending?.((shardIds) => {
        for (const shardId of shardIds) woken.add(shardId);
        if (woken.has("default:7")) heard.resolve();
      });
      await backend.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN "${backend.schema}_pending"'`,
      );
      await heard.promise;
      expect([...woken].toSorted()).toEqual(["default:1", "default:7"]);
      await end?.();
    });
  },
);
