// Real runner processes on one machine under faults. `npm run faults` runs the same for longer.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tableOf } from "./report.ts";
import { runScenario } from "./run-scenario.ts";
import { runnable, SCENARIOS } from "./scenarios.ts";
import { servicesOrReason, type StartedServices } from "./services.ts";
import type { Result } from "./world.ts";

const seed = Number(process.env["FAULTS_SEED"] ?? Date.now() % 1_000_000);
const only = process.env["FAULTS_ONLY"] ?? "";
const chosen = SCENARIOS.filter(({ name, isRare }) => (only === "" ? isRare !== true : name.includes(only)));

describe(`a cluster of processes keeps its invariants (FAULTS_SEED=${seed})`, () => {
  const results: Result[] = [];
  let services: StartedServices | string = "they were not started";

  beforeAll(async () => {
    services = await servicesOrReason();
  });

  afterAll(async () => {
    if (typeof services !== "string") await services.stop();
    if (results.length > 0) console.log(`\n${tableOf(results)}\n`);
  });

  it.for(chosen)("$name", async (scenario, { skip }) => {
    if (typeof services === "string") return skip(services);
    const reason = runnable(services).left.find(({ name }) => name === scenario.name)?.reason;
    if (reason !== undefined) return skip(reason);
    const { result, violations } = await runScenario(services, scenario, seed);
    results.push(result);
    expect(violations).toEqual([]);
  });
});
