// Kept streams whose elements say which run of their handler made them. What an earlier run has made stays as it was kept, so
// along a stream the runs never fall.

import { defineEntity, rpc } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess } from "@holdfast/testing";

const Feed = defineEntity({
  name: "Feed",
  rpcs: { read: rpc<number, number>({ stream: true, persisted: true }) },
});
const READERS = 12;
const ELEMENTS = 60;

export const keptStreams: Scenario = {
  name: "kept streams",
  duration: "15s",
  start(sim) {
    let runs = 0;
    return {
      register: (process: SimulatedProcess) => [
        Feed.implement({
          async *read(pauseMs) {
            runs += 1;
            const run = runs;
            for (let element = 0; element < ELEMENTS; element += 1) {
              if (element % 4 === 3) await process.sleep(pauseMs);
              yield run;
            }
          },
        }),
      ],
      run: () =>
        sim.operations(READERS, async (index) => {
          const read: number[] = [];
          for await (const run of sim.cluster.entity(Feed, `feed-${index % 4}`).read(sim.integer(1, 100))) {
            const last = read.at(-1) ?? 0;
            read.push(run);
            if (run < last) throw new Violation("a stream is kept", `reader ${index} read ${read.join(" ")}`);
          }
          if (read.length !== ELEMENTS)
            throw new Violation("a stream is kept", `reader ${index} read ${read.length} of ${ELEMENTS}`);
        }),
      check() {},
    };
  },
};
