// A lease store that is slow, then out of a runner's reach, while that runner goes on calling what it hosts. No fault plan has
// it: answers of the store that take a good part of a lease.

import { defineEntity, rpc } from "@holdfast/core";
import { clusterOf } from "@holdfast/core/internal";
import { Violation, type Scenario, type Simulation } from "@holdfast/testing";

const Spot = defineEntity({ name: "Spot", rpcs: { touch: rpc<void, void>() } });
const SPOTS = 12;
/** Of the simulation's 6 s of a lease. */
const SLOWEST_MS = 2_000;
const CUT_MS = 8_000;

export const slowLeases: Scenario = {
  name: "slow leases",
  faults: [],
  start(sim) {
    const highest = new Map<string, number>();
    let violation: Violation | null = null;
    return {
      register: [
        Spot.implement({
          touch(_input, { entityId, fencingToken }) {
            const last = highest.get(entityId) ?? 0;
            if (fencingToken < last)
              violation ??= new Violation(
                "one owner at a time",
                `${entityId} was touched under ${fencingToken}, after it had been under ${last}`,
              );
            highest.set(entityId, Math.max(last, fencingToken));
          },
        }),
      ],
      async run() {
        await Promise.all([trouble(sim), ...sim.cluster.runners.map((_, index) => touches(sim, index))]);
      },
      check() {
        if (violation !== null) throw violation;
      },
    };
  },
};

async function trouble(sim: Simulation): Promise<void> {
  const end = sim.now() + sim.durationMs;
  while (sim.now() < end) {
    const runner = sim.integer(0, sim.cluster.runners.length - 1);
    sim.cluster.faults({ leaseDelay: [0, SLOWEST_MS] }, [runner]);
    await sim.sleep(sim.integer(2_000, 6_000));
    sim.cluster.faults({ leaseErrorBeforeEffect: 1 }, [runner]);
    await sim.sleep(CUT_MS);
    sim.cluster.faults({}, [runner]);
    await sim.sleep(sim.integer(0, 2_000));
  }
}

/** Calls from a runner, which reach what it hosts although nobody else can reach it. */
async function touches(sim: Simulation, index: number): Promise<void> {
  const end = sim.now() + sim.durationMs;
  while (sim.now() < end) {
    await sim.sleep(sim.integer(20, 100));
    const runner = sim.cluster.runners[index];
    if (runner?.isAlive !== true) continue;
    const spot = clusterOf(runner.member).entity(Spot, `spot-${sim.integer(1, SPOTS)}`);
    // It may fail: what counts is under which epoch it ran, if it did.
    void spot.touch().catch(() => undefined);
  }
}
