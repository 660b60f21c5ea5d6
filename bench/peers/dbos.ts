// DBOS Transact: workflows that this process calls and runs itself, without a queue, and one that waits in a queue.
//
// - A pool of 32 connections. It changes little: with the default of 10, and at 200 in flight, the rate is the same.
// - Only errors are logged, and nothing is traced, as by default.
// - A step is `DBOS.runStep`, without retries, which is the default and the cheapest. It records its result, not its input.
//
// - "wake-up" is by a queue, since there is no other way to start a workflow in another process, and a queue is polled: each
//   second by default. At 10 ms, the fastest, it is woken within some 20 ms, for a hundred queries a second and queue.
//
// A call resolves when the outcome is on disk. Not comparable: a workflow goes on after a crash when a process of the same
// name starts again, and no other process takes over by itself.

import { DBOS } from "@dbos-inc/dbos-sdk";
import type { OpenContestant, Workload } from "../src/contestant.ts";
import { PAYLOAD } from "./lib/payload.ts";
import { WakeUp } from "./lib/wake-up.ts";

const step = async (): Promise<string> => PAYLOAD;

export const open: OpenContestant = async ({ postgres }) => {
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: postgres,
    systemDatabasePoolSize: 32,
    logLevel: "error",
    // Else it is a digest of the workflows' code.
    applicationVersion: "1",
  });
  const steps = DBOS.registerWorkflow(
    async (count: number): Promise<number> => {
      for (let each = 0; each < count; each += 1) await DBOS.runStep(step, { name: "step" });
      return count;
    },
    { name: "steps" },
  );
  const wakeUp = new WakeUp();
  const wake = DBOS.registerWorkflow(async (_text: string): Promise<void> => wakeUp.began(), {
    name: "wake",
  });
  await DBOS.launch();
  await DBOS.registerQueue("wake");
  const workflow = (count: number): Workload => ({ kind: "closed loop", call: () => steps(count) });
  return {
    workloads: {
      "workflow of 10 steps": workflow(10),
      "workflow of 1 step": workflow(1),
      "wake-up": {
        kind: "alone",
        call: () => wakeUp.of(() => DBOS.startWorkflow(wake, { queueName: "wake" })(PAYLOAD)),
      },
    },
    close: () => DBOS.shutdown(),
  };
};
