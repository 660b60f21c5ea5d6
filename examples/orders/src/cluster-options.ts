import type { ClusterOptions } from "@holdfast/core";

/** What the processes of the cluster on a server have in common. A runner that was killed is replaced after the lease. */
export const SERVER_CLUSTER = {
  shardsPerGroup: 60,
  shardRebalanceDebounce: "100ms",
  storagePollInterval: "100ms",
  // No runner can be reached from another process: a request goes to the storage at once, and not after some tries.
  sendRetryCount: 0,
  runnerLockTtl: "3s",
  runnerLockRefreshInterval: "500ms",
  entityTerminationTimeout: "2s",
} satisfies ClusterOptions;
