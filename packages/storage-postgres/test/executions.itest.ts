// Executions on a server: what a listing reads, and locks that only a server has.

import {
  FencedError,
  SerializationError,
  type ExecutionKey,
  type ExecutionQuery,
  type Fence,
  type JournalEntry,
  type OpenStorage,
  type Reply,
  type StepKind,
} from "@holdfast/core/adapter";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { commitStatement } from "../src/write-statement.ts";
import type { SqlDriver, SqlStatement } from "../src/driver.ts";
import type { WriteOp } from "../src/write-op.ts";
import { postgres } from "../src/index.ts";
import { journalKeyOf } from "../src/journal-key.ts";
import { postgresSettings } from "../src/options.ts";
import { PostgresMessageStorage } from "../src/postgres-message-storage.ts";
import { PostgresSession } from "../src/postgres-session.ts";
import { PostgresWorkflowStorage } from "../src/postgres-workflow-storage.ts";
import { serverBackend, services } from "./backends.ts";
import { begin, claim, countRowsRead, NO_INBOX, ownedBy, startOf, succeeded } from "./work.ts";

const url = inject("postgresUrl");
const ORDER = { entityType: "workflow:Order", executionId: "order-1" };
const QUERY: ExecutionQuery = {
  entityType: ORDER.entityType,
  tag: "execute",
  executionId: null,
  status: null,
  startedFrom: null,
  startedBefore: null,
  attributes: {},
  now: 1_000_000,
  limit: 20,
  after: null,
};

/** How many executions there are, all of them completed but for a few. */
const MANY = 12_000;
/** More than are few to a listing. */
const COUNTED = 10_001;

describe.skipIf(url === null)("executions on a PostgreSQL server", () => {
  let backend: ReturnType<typeof serverBackend>;
  let sessions: { close(): Promise<void> }[];

  beforeEach(() => {
    backend = serverBackend(url ?? "");
    sessions = [];
  });
  afterEach(async () => {
    for (const session of sessions) await session.close();
    await backend.dispose();
  });

  async function open(): Promise<OpenStorage> {
    const { schema } = backend;
    const session = await postgres({ connectionString: url ?? "", poolSize: 6, schema }).open(services());
    sessions.push(session);
    return session;
  }

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url ?? "" });
    await client.connect();
    sessions.push({ close: () => client.end() });
    return client;
  }

  /** A storage on one connection, in a transaction that counts the rows that it reads. */
  async function countingStorage(): Promise<{
    readonly messages: PostgresMessageStorage;
    readonly workflows: PostgresWorkflowStorage;
    rowsRead(): Promise<number>;
  }> {
    const reader = await connect();
    const settings = postgresSettings({ schema: backend.schema });
    const session = new PostgresSession(driverOn(reader), services().clock, settings);
    await reader.query("BEGIN");
    const messages = new PostgresMessageStorage(session, null);
    const workflows = new PostgresWorkflowStorage(session, null);
    return { messages, workflows, rowsRead: () => countRowsRead(reader, backend.schema) };
  }

  /** Gives each of the executions that `fill` made a signal, every second one with a key, and its reply. */
  async function fillInboxes(): Promise<void> {
    await backend.sql(
      `INSERT INTO ${backend.schema}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
         headers, expects, uninterruptible, from_inside, read_pending_first, sender)
       SELECT 's' || i, 'default:1', 'workflow:Order', 'e' || i, 'signal', CASE WHEN i % 2 = 1 THEN 's' END, '{}', '{}',
           'reply', true, false, false, 'test' FROM generate_series(1, $1::int) AS i`,
      [MANY],
    );
    await backend.sql(
      `INSERT INTO ${backend.schema}.replies SELECT q.sequence, q.entity_type, true, '1', 1
         FROM ${backend.schema}.requests q WHERE q.tag = 'signal'`,
    );
  }

  /** Executions x`from` to x`to`, which have ended. */
  async function fillEnded(from: number, to: number, answeredAt: string): Promise<void> {
    const { schema } = backend;
    await backend.sql(
      `WITH made AS (
         INSERT INTO ${schema}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
           headers, expects, uninterruptible, from_inside, read_pending_first, sender)
         SELECT 'x' || i, 'default:1', 'workflow:Order', 'x' || i, 'execute', 'execute', '{}', '{}', 'reply', true, false, false,
           'test' FROM generate_series($1::int, $2::int) AS i RETURNING sequence, entity_type
       ) INSERT INTO ${schema}.replies SELECT sequence, entity_type, true, '1', ${answeredAt} FROM made`,
      [from, to],
    );
  }

  async function waitsForLock(text: string): Promise<void> {
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`;
    while ((await backend.sql(waiting, [`%"${backend.schema}".${text}%`])).length === 0);
  }

  /** Executions e1 to e12000, each a second after the other, and as many answered requests of an entity. */
  async function fill(): Promise<void> {
    const { schema } = backend;
    await backend.sql(
      `INSERT INTO ${schema}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
         headers, expects, uninterruptible, from_inside, read_pending_first, sender)
       SELECT lpad(to_hex(1700000000000 + i * 1000), 12, '0') || lpad(i::text, 19, '0') || e.place, 'default:1', e.type,
           'e' || i, 'execute', 'execute', '{}', '{}', 'reply', true, false, false, 'test'
         FROM generate_series(1, $1::int) AS i, (VALUES ('workflow:Order', 0), ('Counter', 1)) AS e (type, place)`,
      [MANY],
    );
    const isOf = (numbers: string): string =>
      `q.entity_type = 'workflow:Order' AND q.entity_id IN (${numbers})`;
    const pending = `'e1', 'e2', 'e3', 'e4'`;
    await backend.sql(
      `INSERT INTO ${schema}.pending SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id,
           CASE q.entity_id WHEN 'e2' THEN 1 ELSE 0 END, CASE WHEN q.entity_id IN ('e3', 'e4') THEN 2000000 END
         FROM ${schema}.requests q WHERE ${isOf(pending)}`,
    );
    await backend.sql(
      `INSERT INTO ${schema}.dead_letters SELECT q.sequence, q.request_id, 1, '{}', 1
         FROM ${schema}.requests q WHERE ${isOf("'e5'")}`,
    );
    await backend.sql(
      `INSERT INTO ${schema}.replies SELECT q.sequence, q.entity_type, NOT (${isOf("'e6', 'e7'")}),
           CASE q.entity_id WHEN 'e7' THEN '{"code":"WORKFLOW_CANCELLED","name":"E"}' ELSE '{"code":null,"name":"E"}' END, 1
         FROM ${schema}.requests q WHERE NOT (${isOf(`${pending}, 'e5'`)})`,
    );
    await backend.sql(
      `INSERT INTO ${schema}.journal
         SELECT ${schema}.journal_key_v12(q.entity_type, q.entity_id, q.request_id), i, i, 'run', 'step', 'completed', '1', NULL
           FROM ${schema}.requests q, generate_series(0, 3) AS i WHERE q.entity_type = 'workflow:Order'`,
    );
    await backend.sql(
      `INSERT INTO ${schema}.attributes SELECT q.entity_type, q.entity_id, a.name, a.value
         FROM ${schema}.requests q, LATERAL (VALUES ('tenant', '"a"'), ('order', substr(q.entity_id, 2))) AS a (name, value)
         WHERE q.entity_type = 'workflow:Order'`,
    );
  }

  it("are listed without a look at others than those that are asked for, although nobody counted the tables", async () => {
    await open();
    await fill();
    const cases: readonly [Partial<ExecutionQuery>, found: number, read: number][] = [
      [{}, 20, 300],
      [{ startedFrom: 1_700_000_100_000, startedBefore: 1_700_000_110_000 }, 10, 100],
      [{ executionId: "e100" }, 1, 20],
      [{ status: "pending" }, 1, 20],
      [{ status: "running" }, 1, 20],
      [{ status: "suspended" }, 2, 30],
      [{ status: "failed" }, 2, 30],
      [{ status: "cancelled" }, 1, 20],
      [{ status: "completed" }, 20, COUNTED + 300],
      [{ attributes: { order: 77 } }, 1, 20],
      [{ attributes: { order: 77, tenant: "a" } }, 1, 20],
      [{ attributes: { tenant: "a", order: 78 } }, 1, COUNTED + 20],
      [{ attributes: { tenant: "a" } }, 20, COUNTED + 300],
      [{ attributes: { tenant: "a" }, status: "failed" }, 2, 50],
      [{ attributes: { tenant: "b" } }, 0, 10],
    ];
    const { workflows, rowsRead } = await countingStorage();
    for (const [changes, found, most] of cases) {
      const before = await rowsRead();
      const listed = await workflows.listExecutions({ ...QUERY, ...changes });
      const read = (await rowsRead()) - before;
      expect([changes, listed.length]).toEqual([changes, found]);
      expect([changes, Math.max(read, most)]).toEqual([changes, most]);
    }
  });

  it("are read and trimmed without a look at others, also by a session that did both while there were none", async () => {
    await open();
    const fence = { shardId: "default:1", epoch: 1 } as const;
    await backend.sql(`INSERT INTO ${backend.schema}.shards VALUES ($1, $2)`, [fence.shardId, fence.epoch]);
    const { workflows, rowsRead } = await countingStorage();
    const tags = { execution: "execute", inbox: ["signal"] };
    const trim = { belowOrdinal: 9, requestIds: ["s1"], answeredBefore: 2 };
    await workflows.readExecution(ORDER, tags);
    await workflows.trimExecution(ORDER, trim, fence);
    await fill();
    await fillInboxes();
    const before = await rowsRead();
    const [first, second] = ["e1", "e2"].map((executionId) => ({ ...ORDER, executionId }));
    expect(await workflows.readExecution(first ?? ORDER, tags)).toMatchObject({
      entries: [{ ordinal: 0 }, { ordinal: 1 }, { ordinal: 2 }, { ordinal: 3 }],
      inbox: [{ requestId: "s1" }],
    });
    for (const execution of [first, second]) await workflows.trimExecution(execution ?? ORDER, trim, fence);
    expect(await workflows.readExecution(first ?? ORDER, tags)).toEqual({ entries: [], inbox: [] });
    expect((await rowsRead()) - before).toBeLessThan(60);
  });

  it("are dropped without a look at others, also by a session that did so while there were none", async () => {
    await open();
    await backend.sql(`INSERT INTO ${backend.schema}.shards VALUES ('default:1', 1)`);
    const { messages, rowsRead } = await countingStorage();
    expect(await messages.dropDeadLetter("none", "execute")).toBe(false);
    await fill();
    await fillInboxes();
    const [dead] = await messages.listDeadLetters({ limit: 1, after: null });
    const requestId = dead?.envelope.requestId ?? "";
    const before = await rowsRead();
    expect(await messages.dropDeadLetter(requestId, "execute")).toBe(true);
    expect((await rowsRead()) - before).toBeLessThan(60);
    expect(await messages.lookUp([requestId, "s5", "s6"])).toMatchObject([{ requestId: "s6" }]);
  });

  it("are forgotten batch by batch, with one look at the old answers that others keep", async () => {
    await open();
    await fillInboxes();
    const { messages, rowsRead } = await countingStorage();
    const query = { entityType: ORDER.entityType, answeredBefore: 1_000, limit: 10, executionTag: "execute" };
    const batch = async (): Promise<{ forgotten: number; read: number }> => {
      const before = await rowsRead();
      const forgotten = await messages.forgetAnswered(query);
      return { forgotten, read: (await rowsRead()) - before };
    };
    await fillEnded(1, 30, "2 + sequence % 7");
    expect((await batch()).read).toBeGreaterThan(MANY);
    for (let count = 0; count < 2; count += 1) {
      const { forgotten, read } = await batch();
      expect(forgotten).toBe(10);
      expect(read).toBeLessThan(1_000);
    }
    // One whose answer is older, and was not to be seen yet: a batch that is not full has looked everywhere.
    await fillEnded(31, 31, "0");
    await fillEnded(32, 33, "9");
    expect((await batch()).forgotten).toBe(3);
    expect((await batch()).forgotten).toBe(0);
  });

  it("are all forgotten in batches of one, also those of one moment, and those that were locked when a batch came by", async () => {
    const { messages } = await open();
    const { schema } = backend;
    await fillInboxes();
    await fillEnded(1, 1, "0");
    await fillEnded(2, 4, "1");
    await fillEnded(5, 6, "9");
    const query = { entityType: ORDER.entityType, answeredBefore: 10, limit: 1, executionTag: "execute" };
    const sweep = async (answeredBefore: number): Promise<number> => {
      for (let forgotten = 0; ; forgotten += 1) {
        if ((await messages.forgetAnswered({ ...query, answeredBefore })) < 1) return forgotten;
      }
    };
    const other = await connect();
    await other.query("BEGIN");
    await other.query(
      `SELECT 1 FROM ${schema}.replies r JOIN ${schema}.requests q USING (sequence)
         WHERE q.request_id IN ('x1', 'x3') FOR UPDATE OF r`,
    );
    expect(await sweep(10)).toBe(4);
    await fillEnded(7, 8, "8");
    expect(await messages.forgetAnswered(query)).toBe(1);
    await other.query("ROLLBACK");
    // Of a longer retention: the batch before ended behind all that is old now.
    expect(await sweep(2)).toBe(2);
    expect(await sweep(10)).toBe(1);
    const left = `SELECT count(*)::int AS left FROM ${schema}.replies WHERE answered_at < 10`;
    expect(await backend.sql(left)).toEqual([{ left: MANY }]);
  });

  it("are not dropped beside a fenced write for their shard: it comes first, and goes along", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await messages.saveDeadLetter(start.requestId, NO, fence);
    const writer = await connect();
    await writer.query("BEGIN");
    const op = journalOp(ownedBy(start), [entryOf(7, "value", "1")], fence);
    const statement = commitStatement(backend.schema, op, { now: 0, isPrepared: true });
    await writer.query(statement.text, [...statement.values]);
    const dropping = messages.dropDeadLetter(start.requestId, "execute");
    await waitsForLock("drop_dead_letter_v5");
    await writer.query("COMMIT");
    expect(await dropping).toBe(true);
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual([]);
  });

  it("are not dropped once they were requeued, or answered after all, at that moment", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    const starts = ["order-1", "order-2"].map(startOf);
    for (const start of starts) {
      await messages.saveRequest(start, 1, fence);
      await messages.saveDeadLetter(start.requestId, NO, fence);
    }
    const [requeued, answered] = starts.map(({ requestId }) => requestId) as [string, string];
    const other = await connect();
    const reply = { type: "reply", reply: succeeded(answered), fence } as const;
    const statements = [
      { text: `SELECT "${backend.schema}".requeue_dead_letter_v1($1)`, values: [requeued] },
      commitStatement(backend.schema, reply, { now: 0, isPrepared: true }),
    ];
    for (const [index, { text, values }] of statements.entries()) {
      await other.query("BEGIN");
      await other.query(text, [...values]);
      const dropping = messages.dropDeadLetter([requeued, answered][index] ?? "", "execute");
      await waitsForLock("drop_dead_letter_v5");
      await other.query("COMMIT");
      expect(await dropping).toBe(false);
    }
    expect((await messages.lookUp([requeued, answered])).map(({ state }) => state).toSorted()).toEqual([
      "answered",
      "pending",
    ]);
  });

  it("are dropped beside one who acknowledges chunks, and neither waits for the other for ever", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await messages.saveChunk({ requestId: start.requestId, index: 0, value: "a" }, fence);
    await messages.saveDeadLetter(start.requestId, NO, fence);
    const reader = await connect();
    await reader.query("BEGIN");
    // What acknowledging does, in its two steps.
    await reader.query(`UPDATE ${backend.schema}.streams SET acknowledged = 1`);
    const dropping = messages.dropDeadLetter(start.requestId, "execute");
    await waitsForLock("drop_dead_letter_v5");
    await reader.query(`DELETE FROM ${backend.schema}.chunks`);
    await reader.query("COMMIT");
    expect(await dropping).toBe(true);
    expect(await messages.readChunks(start.requestId, 0)).toEqual({ chunks: [], saved: 0 });
  });

  it("go whole when a runner of the release before drops them, and of an entity the letter alone", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const address = { entityType: "Order", entityId: "order-1", shardId: "default:1" } as const;
    const [start, ofEntity] = [startOf("order-1"), { ...startOf("order-1"), address }];
    const signals = [start, ofEntity].map(({ address: to }) => ({
      ...startOf(""),
      address: to,
      tag: "signal",
    }));
    for (const each of [start, ofEntity, ...signals]) await messages.saveRequest(each, 1, fence);
    const entries = [entryOf(0, "attributes", '{"tenant":"a"}')];
    await workflows.appendJournal(ownedBy(start), entries, fence, null);
    const { schema, sql } = backend;
    for (const { requestId } of [start, ofEntity]) {
      const drop = (): Promise<unknown> =>
        sql(`SELECT dropped FROM ${schema}.drop_dead_letter_v1($1)`, [requestId]);
      expect(await drop()).toEqual([]);
      await messages.saveDeadLetter(requestId, NO, fence);
      expect(await drop()).toEqual([{ dropped: requestId }]);
    }
    const ids = [start, ofEntity, ...signals].map(({ requestId }) => requestId);
    expect(await messages.lookUp(ids)).toMatchObject([{ requestId: signals[1]?.requestId }]);
    for (const table of ["attributes", "journal"])
      expect(await sql(`SELECT * FROM ${schema}.${table}`)).toEqual([]);
  });

  it("are not reopened beside a fenced write for their shard: it comes first, and is seen", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await messages.saveReply(failed(start.requestId), fence, null);
    const writer = await connect();
    await writer.query("BEGIN");
    const entry = entryOf(7, "value", "1");
    const op = journalOp(ownedBy(start), [entry], fence);
    const statement = commitStatement(backend.schema, op, { now: 0, isPrepared: true });
    await writer.query(statement.text, [...statement.values]);

    // One who read the journal as it was comes too late, and one who takes a higher ordinal does not.
    const taken = { ...entryOf(7, "resume", "[]"), position: -1 };
    const tooLate = workflows.reopenExecution(ORDER, start.requestId, { forget: [], entry: taken });
    await waitsForLock("reopen_execution_v4");
    await writer.query("COMMIT");
    expect(await tooLate).toBeNull();
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual([entry]);
    expect(await messages.lookUp([start.requestId])).toMatchObject([{ state: "answered" }]);

    await writer.query("BEGIN");
    const next = commitStatement(
      backend.schema,
      { ...op, entries: [entryOf(8, "value", "1")] },
      { now: 0, isPrepared: true },
    );
    await writer.query(next.text, [...next.values]);
    const changes = { forget: [7, 8], entry: { ...taken, ordinal: 9 } };
    const reopening = workflows.reopenExecution(ORDER, start.requestId, changes);
    await waitsForLock("reopen_execution_v4");
    await writer.query("COMMIT");
    expect(await reopening).toEqual(start.address);
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual([changes.entry]);
  });

  it("have the key of their journal from here as from the database", async () => {
    await open();
    const other = { entityType: "workflow:Bestellung.ß", executionId: "a/b é 🚀" };
    const id = "01a21f1a8838738d9e32aad1e689fc14";
    const ids = [undefined, id, id.toUpperCase(), `${id}0`, `${id}\n`, id.slice(1), "request-1", ""];
    for (const execution of [ORDER, other])
      for (const requestId of ids) {
        const [row] = await backend.sql<{ key: string }>(
          `SELECT ${backend.schema}.journal_key_v12($1, $2, $3)::text AS key`,
          [execution.entityType, execution.executionId, requestId ?? null],
        );
        const key = requestId === undefined ? execution : { ...execution, requestId };
        expect(row?.key.replaceAll("-", "")).toBe(journalKeyOf(key));
      }
  });

  it("are not reopened with an entry that PostgreSQL cannot keep", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await messages.saveReply(failed(start.requestId), fence, null);
    const entry = { ...entryOf(0, "resume", "[]"), name: "\0" };
    const reopening = workflows.reopenExecution(ORDER, start.requestId, { forget: [], entry });
    await expect(reopening).rejects.toBeInstanceOf(SerializationError);
    expect(await messages.lookUp([start.requestId])).toMatchObject([{ state: "answered" }]);
  });

  it("are not trimmed beside a claim: a trim waits for it, and is refused (INV-1)", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await workflows.appendJournal(ownedBy(start), [entryOf(0, "value", "1")], fence, null);
    const claimer = await connect();
    await claimer.query("BEGIN");
    await claimer.query(`SELECT "${backend.schema}".claim_shards_v1('{default:1}')`);
    const trim = { belowOrdinal: 1, requestIds: [], answeredBefore: 1 };
    const trimming = workflows.trimExecution(ORDER, trim, fence);
    const refused = expect(trimming).rejects.toThrow(`carried epoch ${fence.epoch}, the shard is at`);
    await waitsForLock("trim_execution_v4");
    await claimer.query("COMMIT");
    await refused;
    await expect(trimming).rejects.toBeInstanceOf(FencedError);
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toHaveLength(1);
  });

  it("are trimmed beside other writes for their shard, and wait for none of them", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await workflows.appendJournal(ownedBy(start), [entryOf(0, "value", "1")], fence, null);
    const message = { ...startOf("order-1"), tag: "signal" };
    await messages.saveRequest(message, 1, fence);
    await messages.saveReply(succeeded(message.requestId), fence, null);
    const writer = await connect();
    await writer.query("BEGIN");
    const entries = [entryOf(2, "value", "1")];
    const op = journalOp(ownedBy(start), entries, fence);
    const statement = commitStatement(backend.schema, op, { now: 0, isPrepared: true });
    await writer.query(statement.text, [...statement.values]);
    const trim = { belowOrdinal: 2, requestIds: [message.requestId], answeredBefore: Date.now() + 60_000 };
    await workflows.trimExecution(ORDER, trim, fence);
    expect(await messages.lookUp([message.requestId])).toEqual([]);
    await writer.query("COMMIT");
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual(entries);
  });

  it.each([
    ["1", "forget_answered_v1('workflow:Order', $1, 20)"],
    ["2", "forget_answered_v2('workflow:Order', $1, 20, 'execute')"],
  ])(
    "go whole when a runner of version %s forgets them, and what goes on stays",
    async (_version, forget) => {
      const { messages, workflows } = await open();
      const fence = await claim(messages);
      const requests = ["order-1", "order-2"].flatMap((executionId) => [
        startOf(executionId),
        { ...startOf(executionId), tag: "signal" },
        { ...startOf(executionId), tag: "wake", deduplicationKey: null },
      ]);
      for (const each of requests) await messages.saveRequest(each, 1, fence);
      const ids = requests.map(({ requestId }) => requestId);
      // The one execution has ended, and the other has handled a signal.
      for (const requestId of [ids[0] ?? "", ids[4] ?? ""])
        await messages.saveReply(succeeded(requestId), fence, null);
      for (const start of requests.filter(({ tag }) => tag === "execute")) {
        const entries = [entryOf(0, "attributes", '{"tenant":"a"}')];
        await workflows.appendJournal(ownedBy(start), entries, fence, null);
      }
      const { schema, sql } = backend;
      const sweep = async (): Promise<unknown> =>
        sql(`SELECT ${schema}.${forget} AS count`, [Date.now() + 60_000]);
      expect(await sweep()).toEqual([{ count: 1 }]);
      expect(await sweep()).toEqual([{ count: 0 }]);
      const known = await messages.lookUp(ids);
      expect(known.map(({ requestId }) => requestId).toSorted()).toEqual(ids.slice(3).toSorted());
      expect(await sql(`SELECT execution_id FROM ${schema}.attributes`)).toEqual([
        { execution_id: "order-2" },
      ]);
      expect(await sql(`SELECT execution FROM ${schema}.journal`)).toEqual([
        { execution: "workflow:Order/order-2" },
      ]);
    },
  );

  it("let a claim wait for a trim under way", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await workflows.appendJournal(ownedBy(start), [entryOf(0, "value", "1")], fence, null);
    const trimmer = await connect();
    await trimmer.query("BEGIN");
    await trimmer.query(
      `SELECT "${backend.schema}".trim_execution_v4('default:1', $1, 'workflow:Order', 'order-1', 1, '{}', 1)`,
      [fence.epoch],
    );
    let isClaimed = false;
    const claiming = claim((await open()).messages).finally(() => (isClaimed = true));
    await waitsForLock("claim_shards_v9");
    expect(isClaimed).toBe(false);
    await trimmer.query("COMMIT");
    await claiming;
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual([]);
  });

  it("refuse attributes that PostgreSQL cannot keep, and end the transaction that they came with", async () => {
    const { messages, workflows } = await open();
    const fence = await claim(messages);
    await messages.saveRequest(startOf("order-1"), 1, fence);
    for (const value of ['{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"\\u0000":1}']) {
      const entries = [entryOf(0, "attributes", value)];
      const transaction = begin(messages);
      await backend.transactions?.write(transaction, value);
      for (const each of [null, transaction]) {
        const appending = workflows.appendJournal(ORDER, entries, fence, each);
        await expect(appending).rejects.toBeInstanceOf(SerializationError);
      }
      expect(await backend.transactions?.has(value)).toBe(false);
    }
    expect((await workflows.readExecution(ORDER, NO_INBOX)).entries).toEqual([]);
    expect(await workflows.listExecutions(QUERY)).toMatchObject([{ attributes: {} }]);
  });

  it("leave nothing that was answered while they were forgotten: the next sweep takes it", async () => {
    const { messages } = await open();
    const fence = await claim(messages);
    const start = startOf("order-1");
    await messages.saveRequest(start, 1, fence);
    await messages.saveReply(succeeded(start.requestId), fence, null);
    // As if its request had been forgotten just before.
    await backend.sql(
      `INSERT INTO ${backend.schema}.replies VALUES (1000000, 'workflow:Order', true, '1', 1)`,
    );
    const query = { entityType: ORDER.entityType, limit: 10, executionTag: "execute" };
    await messages.forgetAnswered({ ...query, answeredBefore: 2 });
    expect(await backend.sql(`SELECT sequence FROM ${backend.schema}.replies`)).toHaveLength(1);
    expect(await messages.forgetAnswered({ ...query, answeredBefore: Date.now() + 60_000 })).toBe(1);
    expect(await backend.sql(`SELECT sequence FROM ${backend.schema}.replies`)).toEqual([]);
  });
});

/** Runs our own statements on one connection, in its transaction. */
function driverOn(client: pg.Client): SqlDriver {
  const never = (): never => {
    throw new Error("Nothing is to be written here.");
  };
  return {
    lanes: 1,
    listens: false,
    hearsOthers: false,
    prepares: true,
    laterNative: never,
    run: async <Row>({ text, values }: SqlStatement) => {
      const { rows, rowCount } = await client.query(text, [...values]);
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    },
    begin: never,
    listen: never,
    close: async () => undefined,
  };
}

const ERROR = {
  name: "Error",
  message: "no",
  code: null,
  stack: null,
  data: null,
  cause: null,
  own: false,
};
/** What makes a request a dead letter. */
const NO = { error: ERROR, attempts: 1, deadSince: 1 };

function failed(requestId: string): Reply {
  return { requestId, exit: { ok: false, error: ERROR } };
}

function entryOf(ordinal: number, kind: StepKind, value: string): JournalEntry {
  return { ordinal, position: ordinal, kind, name: "step", event: { type: "completed", value } };
}

function journalOp(
  execution: ExecutionKey,
  entries: readonly JournalEntry[],
  fence: Fence,
): Extract<WriteOp, { type: "journal" }> {
  return { type: "journal", execution, key: journalKeyOf(execution), entries, fence };
}
