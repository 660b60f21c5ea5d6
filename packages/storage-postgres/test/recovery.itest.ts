// What a storage does while its server breaks under load: PostgreSQL is restarted, crashed, and its sessions are killed,
// while callers save requests, record replies together with writes of their own, and append to journals.
//
// Callers do what the runtime does: a failure whose outcome is unknown is looked up or repeated under the same id, and an
// attempt that was surely not written begins again. The server waits for the disk: else a crash takes commits back.

import {
  FencedError,
  PersistenceError,
  type Fence,
  type MessageStorage,
  type OpenStorage,
} from "@holdfast/core/adapter";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgres } from "../src/index.ts";
import { serverBackend, services } from "./backends.ts";
import { startBreakableServer, WAYS } from "./breakable-server.ts";
import { begin, claim, NO_INBOX, request, succeeded } from "./work.ts";

const { server, bouncer, stop } = await startBreakableServer();
afterAll(stop);

const CALLERS = 12;
const BREAKS = 6;

const FAULTS = {
  "restarts, and waits for nobody": async () => server?.control.restart({ mode: "fast" }),
  crashes: async () => server?.control.restart({ mode: "immediate" }),
  "loses all its sessions": async (sql) => {
    await sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
  },
} satisfies Record<string, (sql: ReturnType<typeof serverBackend>["sql"]) => Promise<unknown>>;

/** What callers count, for the report and for the checks. */
interface Tally {
  answered: string[];
  steps: number;
  failures: number;
  unknown: number;
}

describe.skipIf(server === null).each(WAYS)(
  "the storage on a server that breaks, through $name",
  ({ name, options }) => {
    let backend: ReturnType<typeof serverBackend>;
    let session: OpenStorage;
    beforeAll(async () => {
      const connectionString =
        (options.pooler === undefined ? server?.url : bouncer?.url) ?? server?.url ?? "";
      const schemaOptions = { ...options, connectionString, poolSize: 8 };
      backend = serverBackend(server?.url ?? "", schemaOptions);
      session = await postgres({ ...schemaOptions, schema: backend.schema }).open(services());
      await backend.sql(`CREATE TABLE ${backend.schema}_log (id text)`);
    });
    afterAll(async () => {
      await session.close();
      await backend.sql(`DROP TABLE ${backend.schema}_log`);
      await backend.dispose();
    });

    it.each(Object.entries(FAULTS))(
      "loses nothing and doubles nothing when it %s under load",
      async (_fault, breakServer) => {
        const { messages } = session;
        await backend.sql(`TRUNCATE ${backend.schema}_log`);
        const fence = await claim(messages);
        const tally: Tally = { answered: [], steps: 0, failures: 0, unknown: 0 };
        const load = { isOver: false };
        const callers = Array.from({ length: CALLERS }, async (_, index) => {
          while (!load.isOver) {
            if (index % 3 === 0) await executeSteps(session, backend.schema, fence, tally);
            else await answerOne(messages, backend.schema, fence, tally);
          }
        });
        for (let broken = 0; broken < BREAKS; broken += 1) {
          const before = tally.answered.length + tally.steps;
          await breakServer(backend.sql).catch(() => undefined);
          // It works again by itself, for as long as it takes to see that.
          while (tally.answered.length + tally.steps < before + 3 * CALLERS) await pause(5);
        }
        load.isOver = true;
        await Promise.all(callers);

        const effects = await backend.sql<{ id: string; times: number }>(
          `SELECT id, count(*)::int AS times FROM ${backend.schema}_log GROUP BY id`,
        );
        const times = new Map(effects.map(({ id, times: count }) => [id, count]));
        const lost = tally.answered.filter((id) => !times.has(id));
        const doubled = effects.filter(({ times: count }) => count > 1);
        const states = await messages.lookUp(tally.answered.filter((id) => !id.startsWith("step ")));
        console.info(
          `${name}: answered ${tally.answered.length}, steps ${tally.steps}, failed on the way ${tally.failures} ` +
            `(${tally.unknown} unknown), lost ${lost.length}, doubled ${doubled.length}`,
        );
        expect({ lost, doubled }).toEqual({ lost: [], doubled: [] });
        // Nothing is there of what no caller was told of.
        expect(effects).toHaveLength(tally.answered.length + tally.steps);
        expect(states.filter(({ state }) => state !== "answered")).toEqual([]);
      },
    );
  },
);

/** One request, from its acceptance to its reply, whatever happens on the way. */
async function answerOne(
  messages: MessageStorage,
  schema: string,
  fence: Fence,
  tally: Tally,
): Promise<void> {
  const envelope = request({ address: { entityType: "Counter", entityId: "a", shardId: fence.shardId } });
  const { requestId } = envelope;
  await persist(tally, () => messages.saveRequest(envelope, 1, fence));
  for (;;) {
    const transaction = begin(messages);
    const outcome = await tried(tally, async () => {
      await transaction.query(`INSERT INTO ${schema}_log VALUES ($1)`, [requestId]);
      await messages.saveReply(succeeded(requestId), fence, transaction);
    });
    if (outcome === "unknown") {
      const [state] = await persist(tally, () => messages.lookUp([requestId]));
      if (state?.state === "answered") break;
    }
    if (outcome === "written") break;
    await transaction.rollback();
  }
  tally.answered.push(requestId);
}

let executions = 0;

/** An execution of three activities that write. A copy whose append failed ends, and the next one reads what is there. */
async function executeSteps(
  { messages, workflows }: OpenStorage,
  schema: string,
  fence: Fence,
  tally: Tally,
): Promise<void> {
  executions += 1;
  const execution = { entityType: "Order", executionId: `${schema} ${executions}` };
  const steps = 3;
  for (let ordinal = 0; ordinal < steps;) {
    const transaction = begin(messages);
    const at = ordinal;
    const outcome = await tried(tally, async () => {
      await transaction.query(`INSERT INTO ${schema}_log VALUES ($1)`, [
        `step ${execution.executionId} ${at}`,
      ]);
      const event = { type: "completed", value: "1" } as const;
      const entry = { ordinal: at, position: at, kind: "run", name: "step", event } as const;
      await workflows.appendJournal(execution, [entry], fence, transaction);
    });
    if (outcome !== "written") {
      await transaction.rollback();
      ordinal = (await persist(tally, () => workflows.readExecution(execution, NO_INBOX))).entries.length;
    } else ordinal += 1;
  }
  tally.steps += steps;
}

async function tried(
  tally: Tally,
  work: () => Promise<void>,
): Promise<"written" | "not-written" | "unknown"> {
  try {
    await work();
    return "written";
  } catch (error) {
    if (!(error instanceof PersistenceError)) throw error;
    tally.failures += 1;
    if (error.outcome === "unknown") tally.unknown += 1;
    await pause(5);
    return error.outcome;
  }
}

/** Repeats what is safe to repeat. */
async function persist<Result>(tally: Tally, work: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof FencedError || !(error instanceof PersistenceError)) throw error;
      tally.failures += 1;
      if (error.outcome === "unknown") tally.unknown += 1;
      await pause(5);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
