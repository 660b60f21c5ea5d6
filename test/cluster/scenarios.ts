// Scenarios: what is done to a cluster under load. What must hold after each is in check.ts.

import { lasting, until } from "./clock.ts";
import { gapWithin, noFailedCall, noFailedPersisted } from "./expectations.ts";
import type { Conduct } from "./network.ts";
import { TTL_MS } from "./settings.ts";
import { withDatabase } from "./tables.ts";
import {
  RUNNERS,
  type LeaseStore,
  type Result,
  type Services,
  type TransportKind,
  type World,
} from "./world.ts";

export interface Scenario {
  readonly name: string;
  /** Where members and leases are. */
  readonly leases: LeaseStore;
  /** How members reach each other. Default gRPC. */
  readonly transport?: TransportKind;
  /** Whether it comes between members: needs Linux, where one machine has many addresses. Default false. */
  readonly isProxied?: boolean;
  /** Breaks the cluster and mends it. */
  run(world: World): Promise<void>;
  /** What else must hold of it. Returns a sentence for each thing that does not. */
  expect?(result: Result): readonly string[];
}

/** The longest time that a shard may have no owner after a kill -9. */
const KILL_LIMIT_MS = TTL_MS + 2_000;
/** The same when its owner gave it up in order: nobody waits for a lease to run out. The table shows how long it took. */
const HAND_OVER_LIMIT_MS = TTL_MS * 0.75;
/** Long enough for a lease to run out, and for others to take over. */
const OUTLASTING_MS = TTL_MS + 1_500;

/** A runner whose lease is refreshed and that cannot do its work detaches after 5 s; the rest is for slow machines. */
const DEPRIVED_LIMIT_MS = 20_000;

type Links = readonly (readonly [runner: string, target: string])[];

/** Lets some links behave so, one conduct after the other, each for longer than a lease. */
async function estrange(world: World, links: Links, conducts: readonly Conduct[]): Promise<void> {
  for (const conduct of conducts) {
    for (const [runner, target] of links) world.link(runner, target, conduct);
    await lasting(OUTLASTING_MS);
    await world.owned();
    await world.healed();
  }
}

/** The same, of what a runner cannot serve without: others are to take its shards over. */
async function deprive(world: World, target: string, conducts: readonly Conduct[]): Promise<void> {
  for (const conduct of conducts) {
    world.link("a", target, conduct);
    await until(`a runner without ${target} serves nothing`, DEPRIVED_LIMIT_MS, () => !world.serves("a"));
    await world.owned();
    await world.healed();
  }
}

async function killEachInTurn(world: World): Promise<void> {
  for (const name of RUNNERS) {
    await world.fleet.kill(name);
    await world.owned();
    await world.fleet.start(name);
    await world.owned();
  }
}

/** What is shown on either lease store. */
function onEither(leases: "etcd" | "PostgreSQL"): readonly Scenario[] {
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

function onRedis(): readonly Scenario[] {
  return [
    {
      name: "Redis restarted, with all that it answered on disk",
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
      leases: "Redis",
      isProxied: true,
      run: (world) => deprive(world, "redis", ["cut", "silent"]),
      expect: noFailedPersisted,
    },
  ];
}

const LINKS_OF_A_TO_OTHERS = [
  ["a", "b"],
  ["a", "c"],
] as const;

const LINKS_OF_OTHERS_TO_A = [
  ["b", "a"],
  ["c", "a"],
] as const;

/** What NATS loses, or who cannot reach it, moves no shard: who owns what is said elsewhere. */
function withoutMove(result: Result): readonly string[] {
  return [...gapWithin(0)(result), ...noFailedPersisted(result)];
}

/** Members that talk over NATS. What breaks between two of them breaks between all, unless it is one member's own link. */
const ON_NATS: readonly Scenario[] = [
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
    leases: "default",
    transport: "NATS",
    run: killEachInTurn,
    expect: (result) => [...gapWithin(KILL_LIMIT_MS)(result), ...noFailedPersisted(result)],
  },
  {
    name: "a runner that freezes for longer than the lease (over NATS)",
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
    leases: "default",
    transport: "NATS",
    isProxied: true,
    run: (world) => estrange(world, [["a", "nats"]], ["cut", "silent", "deaf", "slow"]),
    expect: noFailedPersisted,
  },
];

export const SCENARIOS: readonly Scenario[] = [
  ...onEither("etcd"),
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
  {
    name: "PostgreSQL restarted (fast)",
    leases: "default",
    run: ({ services }) => services.postgres.control.restart({ mode: "fast" }),
  },
  {
    name: "PostgreSQL restarted (immediate)",
    leases: "default",
    run: ({ services }) => services.postgres.control.restart({ mode: "immediate" }),
  },
  {
    name: "PostgreSQL away for longer than the lease",
    leases: "default",
    async run({ services }) {
      await services.postgres.control.kill("SIGQUIT");
      await lasting(OUTLASTING_MS);
      await services.postgres.control.start();
    },
  },
  {
    name: "PostgreSQL's backends killed, five times",
    leases: "default",
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
    name: "etcd restarted",
    leases: "etcd",
    run: async ({ services }) => services.etcd?.control.restart(),
    // Shorter than the lease: no shard moves.
    expect: (result) => [...gapWithin(0)(result), ...noFailedCall(result)],
  },
  {
    name: "etcd away for longer than the lease",
    leases: "etcd",
    async run({ services }) {
      await services.etcd?.control.kill("SIGKILL");
      await lasting(OUTLASTING_MS);
      await services.etcd?.control.start();
    },
    expect: noFailedPersisted,
  },
  {
    name: "etcd hangs for longer than the lease",
    leases: "etcd",
    async run({ services }) {
      await services.etcd?.control.kill("SIGSTOP");
      await lasting(OUTLASTING_MS);
      await services.etcd?.control.kill("SIGCONT");
    },
    expect: noFailedPersisted,
  },
  {
    name: "a runner cut off from etcd only",
    leases: "etcd",
    isProxied: true,
    run: (world) => deprive(world, "etcd", ["cut", "silent"]),
    expect: noFailedPersisted,
  },
  ...onRedis(),
  {
    name: "a runner cut off from the other runners only",
    leases: "default",
    isProxied: true,
    run: (world) => estrange(world, [...LINKS_OF_A_TO_OTHERS, ...LINKS_OF_OTHERS_TO_A], ["cut", "silent"]),
    expect: noFailedPersisted,
  },
  {
    name: "a runner that does not reach the others, which reach it, and the other way round",
    leases: "default",
    isProxied: true,
    async run(world) {
      await estrange(world, LINKS_OF_A_TO_OTHERS, ["silent", "deaf"]);
      await estrange(world, LINKS_OF_OTHERS_TO_A, ["silent"]);
    },
    expect: noFailedPersisted,
  },
  {
    name: "a runner that PostgreSQL hears and does not reach, the other way round, and slowly",
    leases: "default",
    isProxied: true,
    async run(world) {
      await deprive(world, "postgres", ["mute", "deaf"]);
      await estrange(world, [["a", "postgres"]], ["slow"]);
    },
    expect: noFailedPersisted,
  },
  ...onEither("PostgreSQL"),
  ...ON_NATS,
];

/** Those that can run with these services on this machine, and why the others cannot. */
export function runnable({ etcd, redis, nats }: Services): {
  readonly scenarios: readonly Scenario[];
  readonly left: readonly { readonly name: string; readonly reason: string }[];
} {
  const reasonOf = ({ leases, transport, isProxied = false }: Scenario): string | null => {
    if (leases === "etcd" && etcd === null) return "there is no etcd";
    if (leases === "Redis" && redis === null) return "there is no Redis";
    if (transport === "NATS" && nats === null) return "there is no NATS";
    if (isProxied && process.platform !== "linux") return "only Linux gives one machine many addresses";
    return null;
  };
  return {
    scenarios: SCENARIOS.filter((scenario) => reasonOf(scenario) === null),
    left: SCENARIOS.flatMap((scenario) => {
      const reason = reasonOf(scenario);
      return reason === null ? [] : [{ name: scenario.name, reason }];
    }),
  };
}
