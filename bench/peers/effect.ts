// Effect's cluster and workflows on PostgreSQL, through its own client: one runner in this process.
//
// - Messages, replies and the results of activities are in the database; who owns which shard is in memory
//   (`runnerStorage`), since there is one runner.
// - 16 connections, each with statements of several callers on it at once (`multiplex`, off by default). It changes little:
//   without, the rate is the same within a tenth.
// - `simulateRemoteSerialization` is off: it copies each message within the process, as if a runner were elsewhere.
// - Intervals at which it polls are the defaults.
//
// Callers use 256 entities, so that 256 in flight do not wait for each other.

import * as NodeCrypto from "@effect/platform-node/NodeCrypto";
import * as PgClient from "@effect/sql-pg/PgClient";
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect";
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster";
import { Activity, Workflow } from "effect/workflow";
import type { OpenContestant, Workload } from "../src/contestant.ts";
import { Echo, echo } from "./lib/effect-echo.ts";
import { PAYLOAD } from "./lib/payload.ts";

const ENTITIES = 256;

const Steps = Workflow.make("Steps", {
  payload: { id: Schema.String, steps: Schema.Int },
  success: Schema.Int,
  idempotencyKey: ({ id }) => id,
});

const steps = Steps.toLayer(({ steps: count }) =>
  Effect.gen(function* () {
    for (let each = 0; each < count; each += 1)
      yield* Activity.make({
        name: `step ${each}`,
        success: Schema.String,
        execute: Effect.succeed(PAYLOAD),
      });
    return count;
  }),
);

export const open: OpenContestant = async ({ postgres }) => {
  const layer = Layer.mergeAll(echo, steps).pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provideMerge(
      SingleRunner.layer({
        runnerStorage: "memory",
        shardingConfig: { simulateRemoteSerialization: false },
      }),
    ),
    Layer.provide(
      PgClient.layer({
        url: Redacted.make(postgres),
        minConnections: 4,
        maxConnections: 16,
        multiplex: true,
      }),
    ),
    Layer.provideMerge(NodeCrypto.layer),
  );
  const runtime = ManagedRuntime.make(layer);
  const clientOf = await runtime.runPromise(Echo.client);
  const entities = Array.from({ length: ENTITIES }, (_, index) => clientOf(`e${index}`));

  let executions = 0;
  const workflow = (count: number): Workload => ({
    kind: "closed loop",
    call: () => runtime.runPromise(Steps.execute({ id: `${(executions += 1)}`, steps: count })),
  });
  return {
    workloads: {
      "persisted rpc": {
        kind: "closed loop",
        call: (caller) => runtime.runPromise(entities[caller % ENTITIES]!.Persisted({ text: PAYLOAD })),
      },
      "workflow of 10 steps": workflow(10),
      "workflow of 1 step": workflow(1),
    },
    close: () => runtime.dispose(),
  };
};
