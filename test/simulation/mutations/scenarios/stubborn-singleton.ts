// A singleton that takes seconds to end, on a runner that loses its lease and takes the same shard again meanwhile.

import { defineSingleton } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess } from "@holdfast/testing";

const ENDS_AFTER_MS = 4_000;
const LOOKS_EVERY_MS = 100;
/** Of the simulation's 6 s of a lease. */
const CUT_MS = 8_000;

export const stubbornSingleton: Scenario = {
  name: "stubborn singleton",
  runners: 1,
  faults: [],
  duration: "30s",
  start(sim) {
    let running = 0;
    let runs = 0;
    let violation: Violation | null = null;
    return {
      register: (process: SimulatedProcess) => [
        defineSingleton({
          name: "stubborn",
          async run({ signal, fencingToken }) {
            if (running > 0)
              violation ??= new Violation("one at a time", `it began under ${fencingToken} while it ran`);
            running += 1;
            runs += 1;
            while (!signal.aborted) await process.sleep(LOOKS_EVERY_MS);
            await process.sleep(ENDS_AFTER_MS);
            running -= 1;
          },
        }),
      ],
      async run() {
        const end = sim.now() + sim.durationMs;
        while (sim.now() < end) {
          await sim.sleep(sim.integer(0, 3_000));
          sim.cluster.faults({ leaseErrorBeforeEffect: 1 }, [0]);
          await sim.sleep(CUT_MS);
          sim.cluster.faults({}, [0]);
        }
      },
      check() {
        if (violation !== null) throw violation;
        if (runs < 2) throw new Violation("a singleton runs", `it was started ${runs} times`);
      },
    };
  },
};
