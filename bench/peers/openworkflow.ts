// OpenWorkflow on PostgreSQL: a worker of 50 slots in this process, which polls for runs.
//
// - 50 slots, as many as the callers that the workloads are meant for. With 16, 25 and 100 it does no more.
// - Its backend connects as its documentation says, which is 10 connections of postgres.js. Ten steps are no faster on 32.
// - A call resolves as soon as the run is recorded as completed, which the backend tells here. Its own way to wait,
//   `result()`, looks once a second, and would measure that. This is a favour.
//
// Its worker looks for runs again after 50 to 100 ms when it found none, and later up to a second. So one caller alone waits
// for the poll, and so do many, whenever all are between two runs.

import { OpenWorkflow } from "openworkflow";
import { BackendPostgres } from "openworkflow/postgres";
import type { OpenContestant, Workload } from "../src/contestant.ts";
import { PAYLOAD } from "./lib/payload.ts";

export const open: OpenContestant = async ({ postgres }) => {
  const backend = await BackendPostgres.connect(postgres);
  const waiting = new Map<string, () => void>();
  const complete = backend.completeWorkflowRun.bind(backend);
  backend.completeWorkflowRun = async (params) => {
    const run = await complete(params);
    const { id } = run.input as { id: string };
    waiting.get(id)?.();
    return run;
  };

  const client = new OpenWorkflow({ backend });
  const steps = client.defineWorkflow<{ id: string; steps: number }, number>(
    { name: "steps" },
    async ({ input, step }) => {
      for (let each = 0; each < input.steps; each += 1)
        await step.run({ name: `step ${each}` }, async () => PAYLOAD);
      return input.steps;
    },
  );
  const worker = client.newWorker({ concurrency: 50 });
  await worker.start();

  let runs = 0;
  const workflow = (count: number): Workload => ({
    kind: "closed loop",
    async call() {
      const id = `${(runs += 1)}`;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(id, resolve);
      await steps.run({ id, steps: count });
      await promise;
      waiting.delete(id);
    },
  });
  return {
    workloads: { "workflow of 10 steps": workflow(10), "workflow of 1 step": workflow(1) },
    async close() {
      await worker.stop();
      await backend.stop();
    },
  };
};
