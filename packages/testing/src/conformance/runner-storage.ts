import { runnerLeases } from "./runner-leases.ts";
import { runnerMembership } from "./runner-membership.ts";
import { runnerWatching } from "./runner-watching.ts";
import type { RunnersFactory } from "./runners-backend.ts";
import { runnersLifecycle } from "./runners-lifecycle.ts";
import { suiteArguments } from "./suite-arguments.ts";
import { vitest } from "./vitest-api.ts";

/** Defines the vitest cases that every RunnerStorage must pass: one for each sentence of the interface, and more. */
export function runnerStorageConformance(factory: RunnersFactory): void;
export function runnerStorageConformance(name: string, factory: RunnersFactory): void;
export function runnerStorageConformance(
  nameOrFactory: string | RunnersFactory,
  factory?: RunnersFactory,
): void {
  const { describe } = vitest();
  const [name, make] = suiteArguments("runnerStorageConformance", "a RunnerStorage", nameOrFactory, factory);
  describe(name, () => {
    runnerMembership(make);
    runnerLeases(make);
    runnerWatching(make);
    runnersLifecycle(make);
  });
}
