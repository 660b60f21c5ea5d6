// A rolling upgrade: members of the release before go on while one of this release migrates the schema, and beside it.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineWorkflow,
  rpc,
  type Cluster,
} from "@holdfast/core";
import type {
  Envelope,
  ExecutionKey,
  ExecutionQuery,
  JournalEntry,
  Reply,
  WorkflowStorage,
} from "@holdfast/core/adapter";
import pg from "pg";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { pglite, postgres, postgresTx } from "../src/index.ts";
import { newSchema, serverBackend, services } from "./backends.ts";
import { NO_INBOX } from "./work.ts";
import * as version1 from "./previous/version-1.js";
import * as version8 from "./previous/version-8.js";
import * as version9 from "./previous/version-9.js";
import * as version10 from "./previous/version-10.js";
import * as version11 from "./previous/version-11.js";
import * as version12 from "./previous/version-12.js";
import * as version13 from "./previous/version-13.js";

const url = inject("postgresUrl") ?? "";
const CALLERS = 8;

const Account = defineEntity({
  name: "Account",
  rpcs: { deposit: rpc<{ id: string }, number>({ persisted: true }) },
});
const Transfer = defineWorkflow<{ id: string }, string>({ name: "Transfer", key: ({ id }) => id });

interface Release {
  readonly pglite: typeof pglite;
  readonly postgres: typeof postgres;
  readonly postgresTx: typeof postgresTx;
}

/** The first release, asked by this one's core: its storage read journals alone, and there was nothing else to read. */
const first: Release = {
  ...version1,
  postgres: (options) => {
    const adapter = version1.postgres(options);
    return {
      ...adapter,
      open: async (service) => {
        const session = await adapter.open(service);
        const workflows = session.workflows as unknown as Pick<WorkflowStorage, "appendJournal"> & {
          readJournal(execution: ExecutionKey): Promise<readonly JournalEntry[]>;
        };
        const never = (): never => {
          throw new Error("The release before has no such method.");
        };
        return {
          ...session,
          workflows: {
            appendJournal: (...given) => workflows.appendJournal(...given),
            readExecution: async (execution) => ({
              entries: await workflows.readJournal(execution),
              inbox: [],
            }),
            trimExecution: never,
            listExecutions: never,
            reopenExecution: never,
          },
        };
      },
    };
  },
};

/** A member of one release: its storage, and code that writes through that release's transactions. */
function member(
  release: Release,
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
      if (id.startsWith("slow")) await ctx.sleep("4s");
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

const RELEASES: [version: number, release: Release][] = [
  [1, first],
  [8, version8],
  [9, version9],
  [10, version10],
  [11, version11],
  [12, version12],
  [13, version13],
];

describe.skipIf(url === "")("an upgrade while members of a release before work", () => {
  it.each(RELEASES)(
    "of version %i fails no request and loses and doubles no effect",
    async (version, release) => {
      const current = { pglite, postgres, postgresTx };
      const schema = newSchema();
      await using effects = effectsOf(schema);
      await effects.made;
      const backend = createMemoryBackend();
      const old = [await member(release, schema, backend), await member(release, schema, backend)];
      for (const each of old) await each.start();
      expect((await effects.versions()).at(-1)).toBe(version);

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
      // These are half-way while the schema is migrated, and while their shards move to runners of the new release.
      const slow = Array.from({ length: 2 * CALLERS }, (_, index) => `slow-${index}`);
      const slowEnds = Promise.all(slow.map((id) => at.workflow(Transfer).execute({ id })));
      expected.push(...slow.flatMap((id) => [`${id} debit`, `${id} credit`]));
      const begun = async (): Promise<unknown> =>
        (await effects.all()).filter((effect) => /^slow-\d+ debit$/.test(effect)).length;
      await expect.poll(begun, { timeout: 60_000 }).toBe(slow.length);
      // Two of the new release come at once: both find the old schema.
      const fresh = await Promise.all([member(current, schema, backend), member(current, schema, backend)]);
      await Promise.all(fresh.map((each) => each.start()));
      expect((await effects.versions()).at(-1)).toBeGreaterThan(version);
      await some();
      at = fresh[0];
      await old[0]?.shutdown();
      await some();
      await old[1]?.shutdown();
      await some();
      end.abort();
      await Promise.all(callers);
      expect(await slowEnds).toEqual(slow);
      expect((await effects.all()).toSorted()).toEqual(expected.toSorted());
      for (const each of fresh) await each.shutdown();
    },
  );

  it("that breaks off half-way leaves the schema as it was, and the next start does it", async () => {
    const schema = newSchema();
    await using effects = effectsOf(schema);
    const before = await version1.postgres({ connectionString: url, schema, poolSize: 2 }).open(services());
    await before.close();
    // The last thing that a migration does is to write down its version: this makes it fail there.
    await effects.sql(`CREATE RULE stop AS ON INSERT TO ${schema}.migrations DO INSTEAD SELECT 1 / 0`);
    const adapter = postgres({ connectionString: url, schema, poolSize: 2 });
    await expect(adapter.open(services())).rejects.toThrow();
    expect(await effects.versions()).toEqual([1]);
    const functions = await effects.sql<{ count: string }>(
      `SELECT count(*) FROM pg_proc WHERE pronamespace = '${schema}'::regnamespace AND proname ~ '_v([2-9]|\\d\\d)$'`,
    );
    expect(functions[0]?.count).toBe("0");
    await effects.sql(`DROP RULE stop ON ${schema}.migrations`);
    const after = await adapter.open(services());
    expect((await effects.versions()).length).toBeGreaterThan(1);
    await after.close();
  });

  it.each(["pg", "postgres.js"] as const)(
    "with %s may take longer for a step than any other statement may: a table can be large",
    async (driver) => {
      await using halted = await haltedUpgrade();
      const { schema, effects } = halted;
      const adapter = postgres({ connectionString: url, schema, driver, statementDeadline: "1s" });
      const opening = adapter.open(services());
      opening.catch(() => undefined);
      await expect.poll(() => halted.waitingFor("1.5 s"), { timeout: 20_000 }).toBe(1);
      await halted.goOn();
      await (await opening).close();
      expect((await effects.versions()).at(-1)).toBeGreaterThan(12);
    },
  );

  it("whose process is killed leaves nothing at work on the server, which holds tables up", async () => {
    await using halted = await haltedUpgrade();
    const { schema, effects } = halted;
    const code = `
      const { postgres } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url))});
      const { adapterServices } = await import("@holdfast/testing");
      await postgres(${JSON.stringify({ connectionString: url, schema, lockTimeout: "2m" })}).open(adapterServices());`;
    const migrating = spawn(
      process.execPath,
      ["--conditions=@holdfast/source", "--input-type=module", "-e", code],
      { cwd: fileURLToPath(new URL("..", import.meta.url)), stdio: "ignore" },
    );
    await expect.poll(() => halted.waitingFor("0 s"), { timeout: 20_000 }).toBe(1);
    migrating.kill("SIGKILL");
    await expect.poll(() => halted.waitingFor("0 s"), { timeout: 20_000 }).toBe(0);
    expect(await effects.versions()).toEqual([1]);
  });
});

describe("an upgrade on PGlite", () => {
  const functionsOf = async (releases: readonly Pick<Release, "pglite">[]): Promise<unknown> => {
    const instance = await freshPGlite();
    try {
      for (const each of releases) await (await each.pglite({ instance }).open(services())).close();
      // Releases before wrote read_pending_v1 down in another way, and it does the same.
      const { rows } = await instance.query(
        `SELECT pg_get_functiondef(oid) AS definition FROM pg_proc
           WHERE pronamespace = 'holdfast'::regnamespace AND proname <> 'read_pending_v1' ORDER BY 1`,
      );
      return rows;
    } finally {
      await instance.close();
    }
  };
  let inNewSchema: unknown;
  beforeAll(async () => {
    inNewSchema = await functionsOf([{ pglite }]);
  });

  it.each(RELEASES)(
    "from version %i comes to the functions that a new schema has",
    async (_version, release) => {
      expect(await functionsOf([release, { pglite }])).toEqual(inNewSchema);
    },
  );

  it("keeps what the release before wrote, and that release still reads it", async () => {
    const instance = await freshPGlite();
    try {
      const requests = ["answered", "pending"].map(request);
      const before = await version1.pglite({ instance }).open(services());
      const [epoch = 0] = await before.messages.claimShards(["default:1"]);
      for (const each of requests) await before.messages.saveRequest(each, 0, null);
      await before.messages.saveReply(replyTo("answered"), { shardId: "default:1", epoch }, null);
      const execution = { entityType: "workflow:Order", executionId: "é 🚀" };
      await before.workflows.appendJournal(execution, [TAGGED], { shardId: "default:1", epoch }, null);
      await before.close();

      const after = await pglite({ instance }).open(services());
      const ids = requests.map(({ requestId }) => requestId);
      expect((await after.messages.lookUp(ids)).map(({ state }) => state).toSorted()).toEqual([
        "answered",
        "pending",
      ]);
      const tags = { execution: "execute", inbox: [] };
      expect(await after.workflows.readExecution(execution, tags)).toEqual({ entries: [TAGGED], inbox: [] });
      const [next = 0] = await after.messages.claimShards(["default:1"]);
      expect(next).toBeGreaterThan(epoch);
      await after.messages.saveReply(replyTo("pending"), { shardId: "default:1", epoch: next }, null);
      const query = {
        entityType: "Account",
        answeredBefore: Date.now() + 60_000,
        limit: 1,
      };
      expect(await after.messages.forgetAnswered(query)).toBe(1);
      await after.close();

      const back = await version1.pglite({ instance }).open(services());
      expect(await back.messages.lookUp(ids)).toMatchObject([{ state: "answered" }]);
      await back.close();
    } finally {
      await instance.close();
    }
  });

  it("goes on with the journal of an execution that the release before began, and that release with it", async () => {
    const instance = await freshPGlite();
    try {
      const before = await version11.pglite({ instance }).open(services());
      const start = { ...executionOf("order-1"), requestId: "01a21f1a8838738d9e32aad1e689fc14" };
      const execution = { entityType: start.address.entityType, executionId: start.address.entityId };
      const owned = { ...execution, requestId: start.requestId };
      await before.messages.saveRequest(start, 1, null);
      const after = await pglite({ instance }).open(services());
      const expected: JournalEntry[] = [];
      const append = async ({ messages, workflows }: typeof after): Promise<void> => {
        const [epoch = 0] = await messages.claimShards(["default:1"]);
        for (let count = 0; count < 2; count += 1) {
          const ordinal = expected.length;
          expected.push({ ...TAGGED, ordinal, position: ordinal });
          const transaction = count === 0 ? null : (messages.beginTransaction?.() ?? null);
          await workflows.appendJournal(
            owned,
            expected.slice(-1),
            { shardId: "default:1", epoch },
            transaction,
          );
        }
      };
      for (const session of [before, after, before, after]) {
        await append(session);
        for (const { workflows } of [before, after]) {
          expect((await workflows.readExecution(execution, NO_INBOX)).entries).toEqual(expected);
        }
      }
      const [epoch = 0] = await before.messages.claimShards(["default:1"]);
      const fence = { shardId: "default:1", epoch } as const;
      const trim = { belowOrdinal: 3, requestIds: [], answeredBefore: 0 };
      await before.workflows.trimExecution(execution, trim, fence);
      expect((await after.workflows.readExecution(execution, NO_INBOX)).entries).toEqual(expected.slice(3));
      await before.messages.saveReply(replyTo(start.requestId), fence, null);
      const old = { entityType: execution.entityType, answeredBefore: Date.now() + 60_000, limit: 1 };
      expect(await before.messages.forgetAnswered({ ...old, executionTag: "execute" })).toBe(1);
      const { rows } = await instance.query("SELECT * FROM holdfast.journal");
      expect(rows).toEqual([]);
      await before.close();
      await after.close();
    } finally {
      await instance.close();
    }
  });

  it("lists what the release before runs beside it, as it does its own", async () => {
    const instance = await freshPGlite();
    try {
      const after = await pglite({ instance }).open(services());
      const before = await version1.pglite({ instance }).open(services());
      const [epoch = 0] = await before.messages.claimShards(["default:1"]);
      const fence = { shardId: "default:1", epoch } as const;
      const requests = ["failed", "running", "tagged"].map(executionOf);
      for (const each of requests) await before.messages.saveRequest(each, 1, fence);
      const error = {
        name: "Error",
        message: "no",
        code: "E1",
        stack: null,
        data: null,
        cause: null,
        own: false,
      };
      await before.messages.saveReply({ requestId: "failed", exit: { ok: false, error } }, fence, null);
      const execution = { entityType: "workflow:Order", executionId: "tagged" };
      await before.workflows.appendJournal(execution, [TAGGED], fence, null);

      const list = async (changes: Partial<ExecutionQuery>): Promise<string[]> =>
        (await after.workflows.listExecutions({ ...QUERY, ...changes })).map(
          ({ envelope }) => envelope.requestId,
        );
      expect(await list({})).toEqual(["tagged", "running", "failed"]);
      expect(await list({ status: "failed" })).toEqual(["failed"]);
      expect(await list({ status: "running" })).toEqual(["tagged", "running"]);
      expect(await list({ attributes: { tenant: "a" } })).toEqual(["tagged"]);
      await before.close();
      await after.close();
    } finally {
      await instance.close();
    }
  });
});

/** An entry by which its execution is found. */
const TAGGED: JournalEntry = {
  ordinal: 0,
  position: 0,
  kind: "attributes",
  name: "attributes",
  event: { type: "completed", value: '{"tenant":"a"}' },
};

const QUERY: ExecutionQuery = {
  entityType: "workflow:Order",
  tag: "execute",
  executionId: null,
  status: null,
  startedFrom: null,
  startedBefore: null,
  attributes: {},
  now: 1_000_000,
  limit: 10,
  after: null,
};

function executionOf(id: string): Envelope {
  return {
    ...request(id),
    address: { entityType: "workflow:Order", entityId: id, shardId: "default:1" },
    tag: "execute",
    deduplicationKey: "execute",
  };
}

function request(requestId: string): Envelope {
  return {
    requestId,
    address: { entityType: "Account", entityId: "a", shardId: "default:1" },
    tag: "deposit",
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
  };
}

function replyTo(requestId: string): Reply {
  return { requestId, exit: { ok: true, value: "1" } };
}

/** A schema of the first release, where a step of its migration waits until it may go on. */
async function haltedUpgrade(): Promise<
  {
    readonly schema: string;
    readonly effects: ReturnType<typeof effectsOf>;
    /** How many server processes have waited there for so long. */
    waitingFor(interval: string): Promise<number>;
    goOn(): Promise<unknown>;
  } & AsyncDisposable
> {
  const schema = newSchema();
  const effects = effectsOf(schema);
  await effects.made;
  const before = await first.postgres({ connectionString: url, schema }).open(services());
  await before.close();
  const locker = new pg.Client({ connectionString: url });
  await locker.connect();
  await locker.query(`BEGIN; LOCK TABLE ${schema}.journal`);
  return {
    schema,
    effects,
    async waitingFor(interval) {
      const waiting = await effects.sql(
        `SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted
           AND l.relation = '${schema}.journal'::regclass AND clock_timestamp() - a.query_start > interval '${interval}'`,
      );
      return waiting.length;
    },
    goOn: () => locker.query("COMMIT"),
    async [Symbol.asyncDispose]() {
      await locker.end();
      await effects[Symbol.asyncDispose]();
    },
  };
}

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
