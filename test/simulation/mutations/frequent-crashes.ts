import type { Simulation } from "@holdfast/testing";

/** Crashes runners as long as faults go on. Each is back at once, and takes its shards again without waiting for its lease. */
export async function frequentCrashes(sim: Simulation): Promise<void> {
  const { cluster } = sim;
  const end = sim.now() + sim.durationMs;
  while (sim.now() < end) {
    await sim.sleep(sim.integer(100, 1_500));
    const runner = sim.integer(0, cluster.runners.length - 1);
    if (cluster.runners[runner]?.isAlive === true) await cluster.crash(runner);
    await sim.sleep(sim.integer(1, 100));
    cluster.revive(runner);
  }
}
