// Which traces the seeds from argument 1 to argument 2 give, each with the scenario whose turn it is, as JSON on stdout.

import { argv, stdout } from "node:process";
import { simulate } from "@holdfast/testing";
import { SCENARIOS } from "./scenarios.ts";

/** A line for each seed: its scenario, how many events it has, and the hash of all of them. */
export async function traceHashes(from: number, to: number): Promise<readonly string[]> {
  const lines: string[] = [];
  for (let seed = from; seed <= to; seed += 1) {
    const scenario = SCENARIOS[seed % SCENARIOS.length];
    if (scenario === undefined) throw new Error("There are no scenarios");
    await simulate(scenario, {
      seed,
      progress: ({ events, traceHash }) => lines.push(`${scenario.name} ${seed} ${events} ${traceHash}`),
    });
  }
  return lines;
}

if (import.meta.main) stdout.write(JSON.stringify(await traceHashes(Number(argv[2]), Number(argv[3]))));
