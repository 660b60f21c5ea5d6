// Requests whose answer is another with each run of their handler, on runners that crash all the time. Whoever was told an
// answer is told the same when asking again under the same key.

import { defineEntity, rpc } from "@holdfast/core";
import { checkReplies, type Scenario, type SimulatedProcess, type Told } from "@holdfast/testing";
import { insist } from "../../insist.ts";
import { frequentCrashes } from "../frequent-crashes.ts";

const Hat = defineEntity({
  name: "Hat",
  rpcs: { draw: rpc<number, number>({ persisted: true, uninterruptible: true }) },
});
const HATS = 4;
const DRAWS = 40;
const TIMES = 3;
const SLOWEST_MS = 200;

export const draws: Scenario = {
  name: "draws",
  faults: [],
  duration: "15s",
  start(sim) {
    const told: Told[] = [];
    let runs = 0;
    return {
      // What begins here crashes often: that is no fault of its own.
      options: { storageMessageMaxRetries: 100 },
      register: (process: SimulatedProcess) => [
        Hat.implement({
          async draw(lastsMs) {
            await process.sleep(lastsMs);
            runs += 1;
            return runs;
          },
        }),
      ],
      async run() {
        sim.cluster.faults({ storageDelay: [0, SLOWEST_MS] });
        const draw = async (index: number): Promise<void> => {
          const options = { idempotencyKey: `draw ${index}`, timeout: "3s" } as const;
          const lastsMs = sim.integer(0, 40);
          for (let time = 0; time < TIMES; time += 1) {
            const hat = sim.cluster.entity(Hat, `hat-${index % HATS}`);
            told.push({
              request: options.idempotencyKey,
              reply: await insist(() => hat.draw(lastsMs, options)),
            });
          }
        };
        await Promise.all([frequentCrashes(sim), sim.operations(DRAWS, draw)]);
        sim.cluster.faults({});
      },
      check: () => checkReplies(told),
    };
  },
};
