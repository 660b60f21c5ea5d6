// Runners that are stopped for longer than a lease, and find requests of before when they go on. No handler begins there under
// a shard's former epoch, not even in the moment before the runner's own timers tell it that it lost its lease.

import { defineEntity, rpc } from "@holdfast/core";
import { Violation, type Scenario } from "@holdfast/testing";

const Spot = defineEntity({ name: "Spot", rpcs: { touch: rpc<void, void>() } });
const SPOTS = 8;
const TOUCHES = 400;

export const stoppedRunners: Scenario = {
  name: "stopped runners",
  faults: ["pause"],
  duration: "30s",
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
      run: () =>
        sim.operations(TOUCHES, async () => {
          const spot = sim.cluster.entity(Spot, `spot-${sim.integer(1, SPOTS)}`);
          // Of a runner that stands still nobody hears.
          await spot.touch().catch(() => undefined);
        }),
      check() {
        if (violation !== null) throw violation;
      },
    };
  },
};
