// BullMQ on Redis: a queue for each workload.
//
// - "drain" has a worker that runs 100 jobs at once.
// - Jobs are removed once they are done.
// - It expects what its documentation asks of Redis: `appendonly yes`, `appendfsync everysec` and
//   `maxmemory-policy noeviction`. This module sets none of it, since the server may serve others, too.
//
// Not comparable with what waits for the disk: Redis answers before, and a crash takes the last second with it. Compare
// it with a PostgreSQL whose `synchronous_commit` is off.
//
// "drain" begins with a worker that is connected, and counts until the last handler ran. Sender and handler of "wake-up" share
// this process; the way between them is Redis all the same.

import { Queue, Worker } from "bullmq";
import type { OpenContestant } from "../src/contestant.ts";
import { countdown } from "./lib/countdown.ts";
import { BACKLOG, BULK, JOB } from "./lib/payload.ts";
import { WakeUp } from "./lib/wake-up.ts";

export const open: OpenContestant = async ({ redis }) => {
  if (redis === null) throw new Error("BullMQ needs a Redis, and there is none");
  const connection = { url: redis, maxRetriesPerRequest: null };
  // Two runs on one server do not meet.
  const prefix = `bench-${process.pid}`;
  const options = { connection, prefix };
  const [bulk, drain, wake] = ["bulk", "drain", "wake"].map(
    (name) => new Queue(name, { ...options, defaultJobOptions: { removeOnComplete: true } }),
  ) as [Queue, Queue, Queue];

  const wakeUp = new WakeUp();
  const waker = new Worker(wake.name, async () => wakeUp.began(), options);
  await Promise.all([waker, bulk, drain, wake].map((each) => each.waitUntilReady()));
  return {
    workloads: {
      "bulk send": { kind: "closed loop", unitsPerCall: BULK, call: () => send(bulk, BULK) },
      drain: {
        kind: "batch",
        async run() {
          for (let sent = 0; sent < BACKLOG; sent += 500) await send(drain, 500);
          const handled = countdown(BACKLOG);
          const worker = new Worker(drain.name, async () => handled.count(), {
            ...options,
            concurrency: 100,
            autorun: false,
          });
          await worker.waitUntilReady();
          const from = performance.now();
          const running = worker.run();
          await handled.all;
          const ms = performance.now() - from;
          await worker.close();
          await running;
          return { units: BACKLOG, ms };
        },
      },
      "wake-up": { kind: "alone", call: () => wakeUp.of(() => wake.add("job", JOB)) },
    },
    async close() {
      await waker.close();
      for (const queue of [bulk, drain, wake]) {
        // Leaves nothing behind on a server that may be shared.
        await queue.obliterate({ force: true });
        await queue.close();
      }
    },
  };
};

function send(queue: Queue, count: number): Promise<unknown> {
  return queue.addBulk(Array.from({ length: count }, () => ({ name: "job", data: JOB })));
}
