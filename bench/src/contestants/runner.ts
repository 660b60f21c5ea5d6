// Runner: one of several runners on one PostgreSQL, each of which is asked by callers of its own process.
//
// What callers ask is on all shards, whoever asks: of n runners, each answers one n-th of it itself, and sends on the rest.

import { createCluster } from "@holdfast/core";
import { postgres } from "@holdfast/storage-postgres";
import { grpc } from "@holdfast/transport-grpc";
import type { OpenContestant } from "../contestant.ts";
import { Echo, echo, PAYLOAD, Steps, steps } from "../definitions.ts";

/** More than there are shards, so that all have some. */
const ENTITIES = 1_024;

export const open: OpenContestant = async ({ postgres: connectionString }) => {
  const cluster = await createCluster({
    storage: postgres({ connectionString }),
    transport: grpc(),
    register: [echo, steps],
    shardRebalanceDebounce: 0,
    entityMailboxCapacity: 10_000,
  });
  await cluster.start();
  const entities = Array.from({ length: ENTITIES }, (_, index) => cluster.entity(Echo, `e${index}`));
  // Others begin elsewhere, so that they do not all ask the same entity at once.
  let asked = process.pid * 257;
  let executions = 0;
  return {
    workloads: {
      "persisted rpc": {
        kind: "closed loop",
        call: () =>
          entities[(asked += 1) % ENTITIES]?.persisted(PAYLOAD) ?? Promise.reject(new Error("no entity")),
      },
      "workflow of 10 steps": {
        kind: "closed loop",
        call: () => cluster.workflow(Steps).execute({ id: `${process.pid}-${(executions += 1)}`, steps: 10 }),
      },
    },
    figures() {
      const { shards, runners } = cluster.status();
      return { shards: shards.owned, allShards: shards.total, runners: runners.length };
    },
    close: () => cluster.shutdown(),
  };
};
