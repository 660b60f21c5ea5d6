// Signals that are sent without waiting for one another, to executions that leave memory in between, over a storage that is
// slow and now and then loses an answer. They are taken in the order in which they were sent.

import { defineWorkflow } from "@holdfast/core";
import { checkOrder, type Handled, type Scenario } from "@holdfast/testing";
import { z } from "zod";

const Log = defineWorkflow({
  name: "Log",
  input: z.object({ id: z.string(), lines: z.number() }),
  output: z.array(z.number()),
  key: ({ id }) => id,
  hashKey: false,
  signals: { line: z.number() },
});
const LOGS = 3;
const BURSTS = 6;
const SLOWEST_MS = 60;

export const signalBursts: Scenario = {
  name: "signal bursts",
  faults: [],
  duration: "10s",
  start(sim) {
    const taken = new Map<string, readonly number[]>();
    const bursts = Array.from({ length: LOGS }, () =>
      Array.from({ length: BURSTS }, () => sim.integer(1, 5)),
    );
    return {
      options: { storageMessageMaxRetries: 50, entityMaxIdleTime: "100ms" },
      register: [
        Log.implement({
          async execute(ctx, { lines }) {
            const got: number[] = [];
            while (got.length < lines) got.push(await ctx.signal("line"));
            return got;
          },
        }),
      ],
      async run() {
        sim.cluster.faults({
          storageDelay: [0, SLOWEST_MS],
          storageErrorAfterCommit: sim.integer(0, 20) / 100,
        });
        await sim.operations(LOGS, async (index) => {
          const counts = bursts[index] ?? [];
          const id = `log-${index}`;
          const lines = counts.reduce((sum, count) => sum + count, 0);
          const log = await sim.cluster.workflow(Log).start({ id, lines });
          let sent = 0;
          for (const count of counts) {
            const sending = Array.from({ length: count }, () => {
              sent += 1;
              return log.signal("line", sent, { idempotencyKey: `${sent}` });
            });
            await Promise.all(sending);
            await sim.sleep(sim.integer(0, 400));
          }
          taken.set(id, await log.result());
        });
        sim.cluster.faults({});
      },
      check() {
        const handled = [...taken].flatMap(([entity, numbers]) =>
          numbers.map((number): Handled => ({ sender: "one", entity, number })),
        );
        checkOrder(handled);
      },
    };
  },
};
