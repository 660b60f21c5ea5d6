// Graphile Worker on PostgreSQL: a database for each workload, since a fetch passes over jobs of other tasks, and each NOTIFY
// wakes every runner of a database.
//
// - "drain" is set as its page on performance says: 24 jobs at once, 25 connections, a local queue of 500, and completions
//   that are recorded together as they come. Without these it does less than a tenth.
// - "wake-up" has neither queue nor delay, which would only defer.
// - Nothing is logged, and signals are left alone.
//
// "drain" begins with the start of a runner on connections that are open, and counts until the last handler ran. What its
// runner records after that is not in it. Sender and handler of "wake-up" share this process; the way between them is the
// database all the same.

import {
  Logger,
  makeWorkerUtils,
  run,
  type Runner,
  type RunnerOptions,
  type WorkerUtils,
} from "graphile-worker";
import pg from "pg";
import type { OpenContestant } from "../src/contestant.ts";
import { countdown } from "./lib/countdown.ts";
import { BACKLOG, BULK, JOB } from "./lib/payload.ts";
import { scratchDatabase } from "./lib/scratch-database.ts";
import { WakeUp } from "./lib/wake-up.ts";

const CONNECTIONS = 25;
const BATCHED = {
  // Its own pause of 100 ms before it fetches again would come between the parts of one backlog.
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const logger = new Logger(() => () => undefined);

export const open: OpenContestant = async ({ postgres }) => {
  const [bulk, drain, wake] = await Promise.all([
    openQueue(postgres, "bulk"),
    openQueue(postgres, "drain"),
    openQueue(postgres, "wake"),
  ]);
  const wakeUp = new WakeUp();
  const waker = await wake.start({ task: async () => wakeUp.began() });
  return {
    workloads: {
      "bulk send": { kind: "closed loop", unitsPerCall: BULK, call: () => bulk.send(BULK) },
      drain: {
        kind: "batch",
        async run() {
          for (let sent = 0; sent < BACKLOG; sent += 500) await drain.send(500);
          const handled = countdown(BACKLOG);
          await drain.warm();
          const from = performance.now();
          const runner = await drain.start({ task: async () => handled.count() }, BATCHED);
          await handled.all;
          const ms = performance.now() - from;
          await runner.stop();
          return { units: BACKLOG, ms };
        },
      },
      "wake-up": { kind: "alone", call: () => wakeUp.of(() => wake.utils.addJob("task", JOB)) },
    },
    async close() {
      await waker.stop();
      for (const queue of [bulk, drain, wake]) await queue.close();
    },
  };
};

interface Queue {
  readonly utils: WorkerUtils;
  send(count: number): Promise<unknown>;
  /** Opens all connections. */
  warm(): Promise<void>;
  start(tasks: NonNullable<RunnerOptions["taskList"]>, settings?: Partial<typeof BATCHED>): Promise<Runner>;
  close(): Promise<void>;
}

async function openQueue(beside: string, name: string): Promise<Queue> {
  const database = await scratchDatabase(beside, name);
  const pool = new pg.Pool({ connectionString: database.url, max: CONNECTIONS });
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  return {
    utils,
    send: (count) =>
      utils.addJobs(Array.from({ length: count }, () => ({ identifier: "task", payload: JOB }))),
    async warm() {
      const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => pool.connect()));
      for (const client of clients) client.release();
    },
    start: (taskList, settings = {}) =>
      run({
        pgPool: pool,
        logger,
        taskList,
        noHandleSignals: true,
        preset: { worker: { concurrentJobs: 24, ...settings } },
      }),
    async close() {
      await utils.release();
      await pool.end();
      await database.drop();
    },
  };
}
