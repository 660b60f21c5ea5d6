// Scenarios: what is done to a cluster under load. What must hold after each is in check.ts.

import { lasting } from "./clock.ts";
import { TTL_MS } from "./settings.ts";
import { RUNNERS, type Backends, type Result, type World } from "./world.ts";
import { withDatabase } from "./tables.ts";

export interface Scenario {
  readonly name: string;
  readonly runners: Backends;
  /** Whether it comes between members: needs Linux, where one machine has many addresses. Default false. */
  readonly isProxied?: boolean;
  /** Breaks the cluster and mends it. */
  run(world: World): Promise<void>;
  /** What else must hold of it. Returns a sentence for each thing that does not. */
  expect?(result: Result): readonly string[];
}

/** The longest time that a shard may have no owner after a kill -9. */
const KILL_LIMIT_MS = TTL_MS + 2_000;
/** The same when its owner gave it up in order. */
const HAND_OVER_LIMIT_MS = 1_000;

function gapWithin(limitMs: number): (result: Result) => readonly string[] {
  return ({ longestGapMs }) =>
    longestGapMs <= limitMs
      ? []
      : [
          `A shard had no owner for ${Math.round(longestGapMs)} ms, more than ${limitMs} (the lease is ${TTL_MS})`,
        ];
}

async function killInTurn({
  fleet,
  ...world
}: Pick<World, "fleet"> & { owned(): Promise<void> }): Promise<void> {
  for (const name of RUNNERS) {
    await fleet.kill(name);
    await world.owned();
    await fleet.start(name);
    await world.owned();
  }
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "kill -9 of each runner in turn",
    runners: "postgres",
    run: (world) => killInTurn({ fleet: world.fleet, owned: () => world.owned() }),
    expect: gapWithin(KILL_LIMIT_MS),
  },
  {
    name: "SIGSTOP for longer than the lease, then SIGCONT",
    runners: "postgres",
    async run(world) {
      world.fleet.pause("a");
      await lasting(TTL_MS + 1_000);
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
    expect: gapWithin(KILL_LIMIT_MS),
  },
  {
    name: "PostgreSQL restarted (fast)",
    runners: "postgres",
    run: ({ services }) => services.postgres.control.restart({ mode: "fast" }),
  },
  {
    name: "PostgreSQL restarted (immediate)",
    runners: "postgres",
    run: ({ services }) => services.postgres.control.restart({ mode: "immediate" }),
  },
  {
    name: "PostgreSQL away for longer than the lease",
    runners: "postgres",
    async run({ services }) {
      await services.postgres.control.kill("SIGQUIT");
      await lasting(TTL_MS + 1_000);
      await services.postgres.control.start();
    },
  },
  {
    name: "PostgreSQL's backends killed, five times",
    runners: "postgres",
    async run({ url }) {
      for (let round = 0; round < 5; round += 1) {
        await withDatabase(url, (database) =>
          database.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()`,
          ),
        );
        await lasting(400);
      }
    },
  },
  {
    name: "a runner cut off from PostgreSQL only",
    runners: "postgres",
    isProxied: true,
    async run(world) {
      for (const conduct of ["cut", "silent"] as const) {
        world.link("a", "postgres", conduct);
        await lasting(TTL_MS + 1_500);
        await world.owned();
        await world.healed();
      }
    },
  },
  {
    name: "a runner that PostgreSQL hears and does not reach, the other way round, and slowly",
    runners: "postgres",
    isProxied: true,
    async run(world) {
      for (const conduct of ["mute", "deaf", "slow"] as const) {
        world.link("a", "postgres", conduct);
        await lasting(TTL_MS + 1_500);
        await world.owned();
        await world.healed();
      }
    },
  },
  {
    name: "all runners killed at once, and started again",
    runners: "postgres",
    async run({ fleet }) {
      await Promise.all(RUNNERS.map((name) => fleet.kill(name)));
      await Promise.all(RUNNERS.map((name) => fleet.start(name)));
    },
  },
  {
    name: "rolling restart",
    runners: "postgres",
    async run(world) {
      for (const name of RUNNERS) {
        await world.fleet.terminate(name);
        await world.owned();
        await world.fleet.start(name);
        await world.owned();
      }
    },
    expect: (result) => [
      ...gapWithin(HAND_OVER_LIMIT_MS)(result),
      ...(result.failed === 0 ? [] : [`${result.failed} calls failed at their callers`]),
    ],
  },
];
