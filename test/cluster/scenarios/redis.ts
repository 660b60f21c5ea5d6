// Leases in Redis, which is restarted, hangs, forgets, or is cut off from one runner.

import { lasting, until } from "../clock.ts";
import { gapWithin, noFailedCall, noFailedPersisted } from "../expectations.ts";
import { deprive } from "../links.ts";
import type { Scenario } from "../scenario.ts";
import { OUTLASTING_MS } from "../settings.ts";

export const ON_REDIS: readonly Scenario[] = [
  {
    name: "Redis restarted, with all that it answered on disk",
    isRare: true,
    leases: "Redis",
    run: async ({ services }) => services.redis?.control.restart(),
    // Shorter than the lease: no shard moves.
    expect: (result) => [...gapWithin(0)(result), ...noFailedCall(result)],
  },
  {
    name: "Redis hangs for longer than the lease",
    leases: "Redis",
    async run({ services }) {
      await services.redis?.control.kill("SIGSTOP");
      await lasting(OUTLASTING_MS);
      await services.redis?.control.kill("SIGCONT");
    },
    expect: noFailedPersisted,
  },
  {
    name: "Redis killed, and without what it wrote while shards moved",
    leases: "Redis",
    async run(world) {
      const control = world.services.redis?.control;
      const mark = await control?.mark();
      if (control === undefined || mark === undefined) return;
      // Leases that were given and taken since are as before when it is back, and those who have them serve.
      await world.fleet.kill("a");
      await world.owned();
      await world.fleet.start("a");
      await until("the runner serves again", OUTLASTING_MS * 4, () => world.serves("a"));
      await control.killAndForget(mark);
      await control.start();
      await lasting(OUTLASTING_MS);
    },
    expect: noFailedPersisted,
  },
  {
    name: "Redis comes back empty",
    isRare: true,
    leases: "Redis",
    async run({ services }) {
      const mark = (await services.redis?.control.mark()) ?? new Map<string, number>();
      await services.redis?.control.killAndForget(new Map([...mark.keys()].map((path) => [path, 0])));
      await services.redis?.control.start();
      await lasting(OUTLASTING_MS);
    },
    expect: noFailedPersisted,
  },
  {
    name: "a runner cut off from Redis only",
    isRare: true,
    leases: "Redis",
    isProxied: true,
    run: (world) => deprive(world, "redis", ["cut", "silent"]),
    expect: noFailedPersisted,
  },
];
