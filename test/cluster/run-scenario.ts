import type { Scenario } from "./scenarios.ts";
import { World, type Result, type Services } from "./world.ts";

/** Runs one scenario on a cluster of its own. Returns what it showed, and everything that does not hold. */
export async function runScenario(
  services: Services,
  scenario: Scenario,
  seed: number,
): Promise<{ result: Result; violations: readonly string[] }> {
  const name = `faults_${process.pid}_${scenario.name.replaceAll(/[^a-z0-9]+/giu, "_").toLowerCase()}`.slice(
    0,
    60,
  );
  const { runners, isProxied = false } = scenario;
  const world = await World.start(services, { name, seed, runners, isProxied });
  try {
    await scenario.run(world);
    const result = await world.conclude(scenario.name);
    return { result, violations: [...result.violations, ...(scenario.expect?.(result) ?? [])] };
  } catch (error) {
    throw new Error(`${scenario.name}: ${String(error)}\n${world.fleet.output()}`, { cause: error });
  } finally {
    await world.end();
  }
}
