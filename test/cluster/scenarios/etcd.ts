// Leases in etcd, which is restarted, away, hangs, or is cut off from one runner.

import { lasting } from "../clock.ts";
import { gapWithin, noFailedCall, noFailedPersisted } from "../expectations.ts";
import { deprive } from "../links.ts";
import type { Scenario } from "../scenario.ts";
import { OUTLASTING_MS } from "../settings.ts";

export const ON_ETCD: readonly Scenario[] = [
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
];
