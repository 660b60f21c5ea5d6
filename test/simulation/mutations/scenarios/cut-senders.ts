// Senders on runners, each of which sends one request after the other, while now one and now another of them cannot reach the
// others or hear of them. It stores requests by itself then, and the owner handles all of them in the order of acceptance.

import { defineEntity, rpc } from "@holdfast/core";
import { clusterOf } from "@holdfast/core/internal";
import { checkOrder, type Handled, type Scenario, type Simulation } from "@holdfast/testing";

const List = defineEntity({
  name: "List",
  mailboxCapacity: 10_000,
  rpcs: { append: rpc<Handled, void>({ persisted: true }) },
});
const LISTS = 4;
const SLOWEST_MS = 60;
/** Longer than it takes to notice that somebody is out of reach. */
const LONGEST_CUT_MS = 4_000;

export const cutSenders: Scenario = {
  name: "cut senders",
  faults: [],
  duration: "25s",
  start(sim) {
    const handled: Handled[] = [];
    return {
      register: [List.implement({ append: (line) => void handled.push(line) })],
      async run() {
        sim.cluster.faults({ storageDelay: [0, SLOWEST_MS] });
        const senders = sim.cluster.runners.flatMap((_, runner) =>
          Array.from({ length: LISTS }, (__, list) => send(sim, runner, `list-${list}`)),
        );
        await Promise.all([cuts(sim), ...senders]);
      },
      check: () => checkOrder(handled),
    };
  },
};

async function cuts(sim: Simulation): Promise<void> {
  const { cluster } = sim;
  const end = sim.now() + sim.durationMs;
  while (sim.now() < end) {
    const cut = sim.integer(0, cluster.runners.length - 1);
    const others = [...cluster.runners.keys()].filter((runner) => runner !== cut);
    if (sim.random() < 0.7) cluster.cut([cut], others);
    else cluster.cut(others, [cut]);
    await sim.sleep(sim.integer(1_000, LONGEST_CUT_MS));
    cluster.heal();
    await sim.sleep(sim.integer(100, 2_000));
  }
}

async function send(sim: Simulation, runner: number, entity: string): Promise<void> {
  const end = sim.now() + sim.durationMs;
  for (let number = 1; sim.now() < end; number += 1) {
    const sender = sim.cluster.runners[runner];
    if (sender === undefined) return;
    const list = clusterOf(sender.member).entity(List, entity);
    await list.append.notify({ sender: `${runner}`, entity, number });
    if (sim.random() < 0.3) await sim.sleep(sim.integer(1, 300));
  }
}
