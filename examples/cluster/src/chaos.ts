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

/** Of every four acts two are a kill, one a stop and one a newcomer: no seed leaves any of them out, with four acts or more. */
const ROUND = ["kill", "kill", "stop", "add"] as const;

/** Returns what is to be called with each count of orders done. */
export function chaos({ fleet, seed, orders, acts }: ChaosOptions): (done: number) => void {
  const below = chance(seed);
  const step = Math.floor((orders * 0.9) / acts);
  const due = Array.from({ length: acts }, (_, index) => index * step + 1 + below(step));
  const left: (typeof ROUND)[number][] = [];
  return (done) => {
    while (due[0] !== undefined && due[0] <= done) {
      due.shift();
      if (left.length === 0) left.push(...ROUND);
      const [kind = "kill"] = left.splice(below(left.length), 1);
      act(fleet, kind, below);
    }
  };
}

/** Who goes is chosen by chance and replaced, unless there are many. */
function act(fleet: Fleet, kind: (typeof ROUND)[number], below: (bound: number) => number): void {
  const { running } = fleet;
  const victim = running[below(Math.max(1, running.length))];
  if (kind === "add" || victim === undefined) {
    if (running.length < 5) fleet.add();
    return;
  }
  void (kind === "kill" ? victim.kill() : victim.stop());
  if (running.length <= 3) fleet.add();
}
