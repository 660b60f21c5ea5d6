// The scenarios, in an order that the seed chooses, until the time is over. Ends with code 1 if anything did not hold.

import { readOptions, refuse } from "../command-line.ts";
import { chance } from "./chance.ts";
import { machineNow } from "./clock.ts";
import { tableOf } from "./report.ts";
import { runScenario } from "./run-scenario.ts";
import { runnable } from "./scenarios.ts";
import { startServices } from "./services.ts";
import type { Result } from "./world.ts";

const USAGE = "npm run faults -- [--minutes 30] [--seed 7] [--only kill]";

const { values } = readOptions(USAGE, {
  options: { minutes: { type: "string" }, seed: { type: "string" }, only: { type: "string", default: "" } },
});
const minutes = Number(values.minutes ?? 0);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
if (!(minutes >= 0 && Number.isInteger(seed)))
  refuse(USAGE, "--minutes takes a number, --seed a whole number.");
const below = chance(seed);
const results: Result[] = [];
const violations: string[] = [];
const services = await startServices();
const { scenarios: all, left } = runnable(services);
for (const { name, reason } of left) console.warn(`Does not run: ${name}: ${reason}`);
const scenarios = all.filter(({ name }) => name.includes(values.only));
const deadline = machineNow() + minutes * 60_000;
console.log(`seed ${seed}`);
try {
  // Each of them once, and then whichever chance names.
  for (let round = 0; round < scenarios.length || machineNow() < deadline; round += 1) {
    const scenario = scenarios[round] ?? scenarios[below(scenarios.length)];
    if (scenario === undefined) break;
    try {
      const outcome = await runScenario(services, scenario, below(2 ** 31));
      results.push(outcome.result);
      violations.push(...outcome.violations.map((violation) => `${scenario.name}: ${violation}`));
      console.log(tableOf([outcome.result]).split("\n").at(-1));
    } catch (error) {
      violations.push(error instanceof Error ? error.message : String(error));
    }
  }
} finally {
  await services.stop();
}
console.log(`\n${tableOf(results)}\n`);
for (const violation of violations) console.error(violation);
process.exitCode = violations.length === 0 ? 0 : 1;
