import type { Scenario } from "./scenario.ts";
import { ON_ETCD } from "./scenarios/etcd.ts";
import { ON_NATS } from "./scenarios/nats.ts";
import { PARTITIONS } from "./scenarios/partitions.ts";
import { ON_POSTGRES } from "./scenarios/postgres.ts";
import { ON_REDIS } from "./scenarios/redis.ts";
import { ON_ANY_LEASE_STORE, onEither } from "./scenarios/runners.ts";
import type { Services } from "./world.ts";

/** All that `npm run faults` runs. */
export const SCENARIOS: readonly Scenario[] = [
  ...onEither("etcd"),
  ...ON_ANY_LEASE_STORE,
  ...ON_POSTGRES,
  ...ON_ETCD,
  ...ON_REDIS,
  ...PARTITIONS,
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
