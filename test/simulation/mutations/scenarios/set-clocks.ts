// Wall clocks that are set while nothing else goes wrong. A sleep does not end before it is due, not even by as much as clocks
// differ: each process sees its own, and nothing moves. A cron goes on when all is mended.

import { defineCron, defineWorkflow } from "@holdfast/core";
import { Violation, type Scenario } from "@holdfast/testing";

interface Naps {
  readonly id: string;
  readonly lengthsMs: readonly number[];
}

const Sleeper = defineWorkflow<Naps, readonly number[]>({
  name: "Sleeper",
  key: ({ id }) => id,
  hashKey: false,
});
const SLEEPERS = 12;
const NAPS = 6;
/** The widest that a clock is set back, and some more. */
const LONGEST_PAUSE_MS = 10_000;

export const setClocks: Scenario = {
  name: "set clocks",
  faults: ["clock"],
  duration: "20s",
  start(sim) {
    let tickedAt = 0;
    let violation: Violation | null = null;
    return {
      register: [
        Sleeper.implement({
          async execute(ctx, { lengthsMs }) {
            const earlyMs: number[] = [];
            for (const lengthMs of lengthsMs) {
              const dueAt = ctx.now() + lengthMs;
              await ctx.sleepUntil(new Date(dueAt));
              earlyMs.push(dueAt - ctx.now());
            }
            return earlyMs;
          },
        }),
        defineCron({
          name: "every-second",
          schedule: "* * * * * *",
          run() {
            tickedAt = sim.now();
          },
        }),
      ],
      async run() {
        const { cluster } = sim;
        cluster.faults({ storageDelay: [0, 60] });
        await sim.operations(SLEEPERS, async (index) => {
          const lengthsMs = Array.from({ length: NAPS }, () => sim.integer(100, 1_500));
          const slept = await cluster.workflow(Sleeper).execute({ id: `sleeper-${index}`, lengthsMs });
          for (const earlyMs of slept)
            if (earlyMs > 0)
              violation ??= new Violation("no early timer", `a sleep ended ${earlyMs} ms early`);
        });
      },
      check() {
        if (violation !== null) throw violation;
        const silentMs = sim.now() - tickedAt;
        if (silentMs > LONGEST_PAUSE_MS)
          throw new Violation("a cron runs", `the last of its ticks was ${silentMs} ms before the end`);
      },
    };
  },
};
