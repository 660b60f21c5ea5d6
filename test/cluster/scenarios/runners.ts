// Runners that end, freeze, or lose the database.

import { lasting } from "../clock.ts";
import { gapWithin, KILL_LIMIT_MS, noFailedCall, noFailedPersisted } from "../expectations.ts";
import { deprive } from "../links.ts";
import type { Scenario } from "../scenario.ts";
import { OUTLASTING_MS, TTL_MS } from "../settings.ts";
import { RUNNERS, type World } from "../world.ts";

/**
 * The longest time that a shard may have no owner whose owner gave it up in order: nobody waits for a lease to run out. The
 * table shows how long it took.
 */
const HAND_OVER_LIMIT_MS = TTL_MS * 0.75;

export async function killEachInTurn(world: World): Promise<void> {
  for (const name of RUNNERS) {
    await world.fleet.kill(name);
    await world.owned();
    await world.fleet.start(name);
    await world.owned();
  }
}

/** What is shown on either lease store. */
export function onEither(leases: "etcd" | "PostgreSQL"): readonly Scenario[] {
  return [
    {
      name: `kill -9 of each runner in turn (leases in ${leases})`,
      leases,
      run: killEachInTurn,
      expect: (result) => [...gapWithin(KILL_LIMIT_MS)(result), ...noFailedPersisted(result)],
    },
    {
      name: `all runners killed at once, and started again (leases in ${leases})`,
      leases,
      isRare: leases === "etcd",
      async run({ fleet }) {
        await Promise.all(RUNNERS.map((name) => fleet.kill(name)));
        await Promise.all(RUNNERS.map((name) => fleet.start(name)));
      },
      expect: noFailedPersisted,
    },
    {
      name: `rolling restart (leases in ${leases})`,
      leases,
      async run(world) {
        for (const name of RUNNERS) {
          await world.fleet.terminate(name);
          await world.owned();
          await world.fleet.start(name);
          await world.owned();
        }
      },
      expect: (result) => [...gapWithin(HAND_OVER_LIMIT_MS)(result), ...noFailedCall(result)],
    },
    {
      name: `a runner cut off from PostgreSQL only (leases in ${leases})`,
      leases,
      isProxied: true,
      run: (world) => deprive(world, "postgres", ["cut", "silent"]),
      expect: noFailedPersisted,
    },
  ];
}

export const ON_ANY_LEASE_STORE: readonly Scenario[] = [
  {
    name: "all runners ended at once by SIGTERM, and started again",
    leases: "default",
    async run({ fleet }) {
      await Promise.all(RUNNERS.map((name) => fleet.terminate(name)));
      await Promise.all(RUNNERS.map((name) => fleet.start(name)));
    },
    expect: noFailedPersisted,
  },
  {
    name: "SIGSTOP for longer than the lease, then SIGCONT",
    leases: "default",
    async run(world) {
      world.fleet.pause("a");
      await lasting(OUTLASTING_MS);
      await world.owned();
      const before = world.fleet.losses.length;
      world.fleet.resume("a");
      // What it served it finds lost before it does anything else, or its writes are refused.
      await lasting(1_000);
      const metrics = await world.fleet.metrics("a");
      const lost = world.fleet.losses.slice(before).filter(({ runner }) => runner === "a").length;
      if (lost === 0 && (metrics["fenced"] ?? 0) === 0)
        throw new Error("The runner that was stopped lost no shard and had no write refused");
    },
    expect: (result) => [...gapWithin(KILL_LIMIT_MS)(result), ...noFailedPersisted(result)],
  },
];
