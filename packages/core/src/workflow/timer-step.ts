import type { Step, StepScope } from "./step.ts";

/** A durable timer. `dueAt` is asked for when the step is new: a wall time in milliseconds since 1970. */
export async function timerStep(step: Step, scope: StepScope, dueAt: () => number): Promise<void> {
  const due = await recordDueTime(step, scope, dueAt);
  if ((await scope.until(due, step.open)).type === "due")
    await step.settle({ type: "completed", value: "null" }, null);
}

/** The time for which a step waits, as it was recorded when the step began. It may be waited for when this resolves. */
export async function recordDueTime(step: Step, scope: StepScope, dueAt: () => number): Promise<number> {
  const recorded = step.recorded?.dueAt ?? null;
  if (recorded !== null) return recorded;
  const due = dueAt();
  scope.record(step, { type: "begun", dueAt: due, detail: null });
  // The execution may leave memory only once its due time is known for good.
  await scope.durable();
  return due;
}
