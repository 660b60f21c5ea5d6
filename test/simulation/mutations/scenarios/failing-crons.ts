// A cron over a storage that fails most of the time, on runners that keep their shards: it goes on when storage is well again.

import { defineCron } from "@holdfast/core";
import { Violation, type Scenario } from "@holdfast/testing";

/** The part of the calls that fail before they took effect. */
const FAILING = 0.7;
const LONGEST_PAUSE_MS = 15_000;

export const failingCrons: Scenario = {
  name: "failing crons",
  faults: [],
  duration: "20s",
  start(sim) {
    let ticks = 0;
    return {
      options: { storageMessageMaxRetries: 100 },
      register: [
        defineCron({
          name: "clockwork",
          schedule: "* * * * * *",
          run() {
            ticks += 1;
          },
        }),
      ],
      async run() {
        await sim.sleep(2_000);
        sim.cluster.faults({ storageErrorBeforeCommit: FAILING });
        await sim.sleep(sim.durationMs);
        sim.cluster.faults({});
        const before = ticks;
        await sim.sleep(LONGEST_PAUSE_MS);
        if (ticks === before) throw new Violation("a cron goes on", `it stood still after ${before} ticks`);
      },
      check() {},
    };
  },
};
