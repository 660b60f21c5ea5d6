// Runs in a copy of the repository: runs scenarios under rising seeds until one finds a violation, and says so line by line.
//
//   node --conditions=@holdfast/source hunt.ts <names of scenarios as JSON> <first seed> <seeds>

import { writeSync } from "node:fs";
import { simulate } from "@holdfast/testing";
import { scenarioNamed } from "./scenarios.ts";

/** A line of the hunt. */
export type HuntLine =
  | { readonly type: "begins"; readonly scenario: string; readonly seed: number }
  | { readonly type: "violation"; readonly scenario: string; readonly seed: number; readonly what: string };

const [names = "[]", first = "1", seeds = "1"] = process.argv.slice(2);
const scenarios = (JSON.parse(names) as readonly string[]).map(scenarioNamed);
let under = { scenario: "", seed: 0 };

function say(line: HuntLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function found(error: unknown): never {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  say({ type: "violation", ...under, what: what.slice(0, 400) });
  process.exit(0);
}

// What a planted bug makes of a promise that nobody awaits is a violation, too.
process.on("uncaughtException", found);
process.on("unhandledRejection", found);

for (let seed = Number(first); seed < Number(first) + Number(seeds); seed += 1) {
  for (const scenario of scenarios) {
    under = { scenario: scenario.name, seed };
    say({ type: "begins", ...under });
    const progress = ({ violation }: { readonly violation: Error | null }): void => {
      // Nobody needs it made smaller here.
      if (violation !== null) found(violation);
    };
    await simulate(scenario, { seed, seeds: 1, progress }).catch(found);
  }
}
process.exit(0);
