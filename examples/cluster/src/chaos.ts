// Chaos: kills, stops and adds runners while the orders come in. The same seed does the same at the same points.

import { chance } from "@holdfast/example-orders/chance.ts";
import type { Fleet } from "./fleet.ts";

export interface ChaosOptions {
  readonly fleet: Fleet;
  readonly seed: number;
  /** How many orders there are in all: the last tenth is left in peace. */
  readonly orders: number;
  readonly acts: number;
}

/** Returns what is to be called with each count of orders done. */
export function chaos({ fleet, seed, orders, acts }: ChaosOptions): (done: number) => void {
  const below = chance(seed);
  const step = Math.floor((orders * 0.9) / acts);
  const points = Array.from({ length: acts }, (_, index) => index * step + 1 + below(step));
  return (done) => {
    while (points[0] !== undefined && points[0] <= done) {
      points.shift();
      act(fleet, below);
    }
  };
}

/** Half of the acts are a kill, a quarter a stop, a quarter a newcomer; who goes is replaced, unless there are many. */
function act(fleet: Fleet, below: (bound: number) => number): void {
  const kind = below(4);
  const { running } = fleet;
  const victim = running[below(Math.max(1, running.length))];
  if (kind === 3 || victim === undefined) {
    if (running.length < 5) fleet.add();
    return;
  }
  void (kind === 2 ? victim.stop() : victim.kill());
  if (running.length <= 3) fleet.add();
}
