// pg-boss on PostgreSQL: a queue for each workload.
//
// - 16 connections, and workers that hear of new jobs by NOTIFY (`useListenNotify`, and `notify` of each queue).
// - "drain" has two workers that fetch 500 jobs each and at once fetch again while they get that many
//   (`burstWhenBatchFull`), since a fetch waits for the interval of polling otherwise. That interval is half a second, the
//   least it takes: with NOTIFY it is 30 s by default, for which a burst can stand still.
// - Maintenance and schedules are off. They would run within the rounds.
//
// "drain" counts until the last handler ran. What its worker records after that is not in it. Sender and handler of "wake-up"
// share this process; the way between them is the database all the same.

import { PgBoss } from "pg-boss";
import type { OpenContestant } from "../src/contestant.ts";
import { countdown } from "./lib/countdown.ts";
import { BACKLOG, BULK, JOB } from "./lib/payload.ts";
import { WakeUp } from "./lib/wake-up.ts";

const POLLING = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 };

export const open: OpenContestant = async ({ postgres }) => {
  const boss = new PgBoss({
    connectionString: postgres,
    max: 16,
    useListenNotify: true,
    supervise: false,
    schedule: false,
  });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  for (const queue of ["bulk", "drain", "wake"]) await boss.createQueue(queue, { notify: true });
  const send = (queue: string, count: number): Promise<unknown> =>
    boss.insert(
      queue,
      Array.from({ length: count }, () => ({ data: JOB })),
    );

  const wakeUp = new WakeUp();
  await boss.work("wake", { batchSize: 1, ...POLLING }, async () => wakeUp.began());
  return {
    workloads: {
      "bulk send": { kind: "closed loop", unitsPerCall: BULK, call: () => send("bulk", BULK) },
      drain: {
        kind: "batch",
        async run() {
          for (let sent = 0; sent < BACKLOG; sent += 500) await send("drain", 500);
          const handled = countdown(BACKLOG);
          const from = performance.now();
          await boss.work(
            "drain",
            { batchSize: 500, burstWhenBatchFull: true, localConcurrency: 2, ...POLLING },
            async (jobs) => handled.count(jobs.length),
          );
          await handled.all;
          const ms = performance.now() - from;
          await boss.offWork("drain", { wait: true });
          return { units: BACKLOG, ms };
        },
      },
      "wake-up": { kind: "alone", call: () => wakeUp.of(() => boss.send("wake", JOB)) },
    },
    close: () => boss.stop({ graceful: false }),
  };
};
