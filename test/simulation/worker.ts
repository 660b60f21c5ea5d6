// A worker of `npm run simulate`: runs a scenario under one range of seeds after the other.

import { simulate } from "@holdfast/testing";
import { SCENARIOS } from "./scenarios.ts";

export interface Task {
  readonly scenario: string;
  readonly from: number;
  readonly seeds: number;
}

export interface Answer {
  /** How many were run, the failing one included. */
  readonly seeds: number;
  readonly seconds: number;
  /** What the first failing seed is told with, or null. */
  readonly violation: string | null;
}

process.on("message", (task: Task) => {
  void run(task).then((answer) => process.send?.(answer));
});

async function run({ scenario: name, from, seeds }: Task): Promise<Answer> {
  const scenario = SCENARIOS.find((each) => each.name === name);
  const began = performance.now();
  let seen = 0;
  let violation: string | null = null;
  try {
    if (scenario === undefined) throw new Error(`There is no scenario ${name}`);
    await simulate(scenario, { seed: from, seeds, progress: () => (seen += 1) });
  } catch (error) {
    violation = error instanceof Error ? error.message : String(error);
  }
  return { seeds: seen, seconds: (performance.now() - began) / 1_000, violation };
}
