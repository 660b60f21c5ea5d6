// Holdfast in memory: volatile rpcs within one process, each with a deadline, as calls of users have.

import { createCluster } from "@holdfast/core";
import type { OpenContestant } from "../contestant.ts";
import { Echo, echo, PAYLOAD } from "../definitions.ts";

const ENTITIES = 64;

export const open: OpenContestant = async () => {
  const cluster = await createCluster({
    register: [echo],
    shardRebalanceDebounce: 0,
    entityMailboxCapacity: 10_000,
  });
  await cluster.start();
  const entities = Array.from({ length: ENTITIES }, (_, index) => cluster.entity(Echo, `e${index}`));
  return {
    workloads: {
      "volatile rpc": {
        kind: "closed loop",
        call: (caller) =>
          entities[caller % ENTITIES]?.volatile(PAYLOAD, { timeout: 5_000 }) ?? Promise.resolve(),
      },
    },
    close: () => cluster.shutdown(),
  };
};
