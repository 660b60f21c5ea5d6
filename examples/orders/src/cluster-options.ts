import type { ClusterOptions } from "@holdfast/core";

/** What the processes of the cluster on a server have in common. A runner that was killed is replaced after the lease. */
export const SERVER_CLUSTER = {
  shardsPerGroup: 60,
  shardRebalanceDebounce: "100ms",
  storagePollInterval: "100ms",
  runnerLockTtl: "5s",
  runnerLockRefreshInterval: "1s",
  entityTerminationTimeout: "2s",
} satisfies ClusterOptions;
