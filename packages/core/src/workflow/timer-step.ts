import type { Step, StepScope } from "./step.ts";

/** A durable timer. `dueAt` is asked for when the step is new: a wall time in milliseconds since 1970. */
export async function timerStep(step: Step, scope: StepScope, dueAt: () => number): Promise<void> {
  const due = dueTimeOf(step, scope, dueAt);
  if ((await scope.until(due, step.open)).type === "due")
    await step.settle({ type: "completed", value: "null" }, null);
}

/** The time for which a step waits, as it is recorded when the step begins. No execution leaves memory before that is durable. */
export function dueTimeOf(step: Step, scope: StepScope, dueAt: () => number): number {
  const recorded = step.recorded?.dueAt ?? null;
  if (recorded !== null) return recorded;
  const due = dueAt();
  scope.record(step, { type: "begun", dueAt: due, detail: null });
  return due;
}
