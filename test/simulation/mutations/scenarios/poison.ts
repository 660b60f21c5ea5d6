// A request that takes the process down with it whenever it is begun. It becomes a dead letter when its attempts are used up,
// and what waits behind it is answered.

import { DeadLetteredError, defineEntity, rpc } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess } from "@holdfast/testing";

const Well = defineEntity({ name: "Well", rpcs: { drink: rpc<boolean, string>({ persisted: true }) } });
const RETRIES = 2;
const BACK_AFTER_MS = 50;

export const poison: Scenario = {
  name: "poison",
  faults: [],
  duration: "10s",
  start(sim) {
    let begun = 0;
    return {
      options: { storageMessageMaxRetries: RETRIES },
      register: (process: SimulatedProcess) => [
        Well.implement({
          async drink(isPoisoned) {
            if (!isPoisoned) return "refreshed";
            begun += 1;
            await sim.cluster.crash(process.runner);
            void sim.sleep(BACK_AFTER_MS).then(() => sim.cluster.revive(process.runner));
            // Nothing comes after this here.
            await process.sleep(1);
            return "poisoned";
          },
        }),
      ],
      async run() {
        const well = sim.cluster.entity(Well, "well");
        const drinks = [true, false].map((isPoisoned) =>
          well.drink(isPoisoned).catch((error: unknown) => {
            if (error instanceof DeadLetteredError) return "a dead letter";
            throw error;
          }),
        );
        const outcomes = await Promise.all(drinks);
        if (outcomes.join() !== "a dead letter,refreshed")
          throw new Violation("attempts", `they came to ${outcomes.join(" and ")}`);
      },
      check() {
        if (begun !== RETRIES + 1) throw new Violation("attempts", `it was begun ${begun} times`);
      },
    };
  },
};
