// Runners that do not reach each other or the database, in one direction or both.

import { noFailedPersisted } from "../expectations.ts";
import { deprive, estrange } from "../links.ts";
import type { Scenario } from "../scenario.ts";

const LINKS_OF_A_TO_OTHERS = [
  ["a", "b"],
  ["a", "c"],
] as const;

const LINKS_OF_OTHERS_TO_A = [
  ["b", "a"],
  ["c", "a"],
] as const;

export const PARTITIONS: readonly Scenario[] = [
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
];
