// Members that talk over NATS. What breaks between two of them breaks between all, unless it is one member's own link.

import { lasting } from "../clock.ts";
import { gapWithin, KILL_LIMIT_MS, noFailedPersisted } from "../expectations.ts";
import { estrange } from "../links.ts";
import type { Scenario } from "../scenario.ts";
import { OUTLASTING_MS } from "../settings.ts";
import type { Result } from "../world.ts";
import { killEachInTurn } from "./runners.ts";

/** What NATS loses, or who cannot reach it, moves no shard: who owns what is said elsewhere. */
function withoutMove(result: Result): readonly string[] {
  return [...gapWithin(0)(result), ...noFailedPersisted(result)];
}

export const ON_NATS: readonly Scenario[] = [
  {
    name: "NATS restarted, five times",
    leases: "default",
    transport: "NATS",
    async run({ services }) {
      for (let round = 0; round < 5; round += 1) {
        await services.nats?.control.restart();
        await lasting(400);
      }
    },
    expect: withoutMove,
  },
  {
    name: "NATS away, and then hanging, each for longer than the lease",
    leases: "default",
    transport: "NATS",
    async run({ services }) {
      await services.nats?.control.kill("SIGKILL");
      await lasting(OUTLASTING_MS);
      await services.nats?.control.start();
      await lasting(1_000);
      await services.nats?.control.kill("SIGSTOP");
      await lasting(OUTLASTING_MS);
      await services.nats?.control.kill("SIGCONT");
    },
    expect: withoutMove,
  },
  {
    name: "kill -9 of each runner in turn (over NATS)",
    isRare: true,
    leases: "default",
    transport: "NATS",
    run: killEachInTurn,
    expect: (result) => [...gapWithin(KILL_LIMIT_MS)(result), ...noFailedPersisted(result)],
  },
  {
    name: "a runner that freezes for longer than the lease (over NATS)",
    isRare: true,
    leases: "default",
    transport: "NATS",
    async run(world) {
      world.fleet.pause("a");
      await lasting(OUTLASTING_MS);
      await world.owned();
      world.fleet.resume("a");
    },
    // No limit of the time without an owner: one that froze within a transaction has its shards until PostgreSQL ends that.
    expect: noFailedPersisted,
  },
  {
    name: "a runner cut off from NATS only",
    isRare: true,
    leases: "default",
    transport: "NATS",
    isProxied: true,
    run: (world) => estrange(world, [["a", "nats"]], ["cut", "silent", "deaf", "slow"]),
    expect: noFailedPersisted,
  },
];
