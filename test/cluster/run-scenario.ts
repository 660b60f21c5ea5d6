import { machineNow } from "./clock.ts";
import type { Scenario } from "./scenario.ts";
import { World, type Result, type Services } from "./world.ts";

/** Runs one scenario on a cluster of its own. Returns what it showed, and everything that does not hold. */
export async function runScenario(
  services: Services,
  scenario: Scenario,
  seed: number,
): Promise<{ result: Result; violations: readonly string[] }> {
  const name = `faults_${process.pid}_${Math.trunc(machineNow())}`;
  const { leases, transport = "gRPC", isProxied = false } = scenario;
  const world = await World.start(services, { name, seed, leases, transport, isProxied });
  try {
    await scenario.run(world);
    const result = await world.conclude(scenario.name);
    return { result, violations: [...result.violations, ...(scenario.expect?.(result) ?? [])] };
  } catch (error) {
    throw new Error(`${scenario.name}: ${String(error)}\n${world.fleet.output()}`, { cause: error });
  } finally {
    await mend(services);
    await world.end();
  }
}

/** A scenario that failed halfway may have left a service broken. */
async function mend({ postgres, etcd, redis, nats }: Services): Promise<void> {
  await postgres.control.start();
  for (const service of [etcd, redis, nats]) {
    await service?.control.kill("SIGCONT").catch(() => undefined);
    await service?.control.start();
  }
}
