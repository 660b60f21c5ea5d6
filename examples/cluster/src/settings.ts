import type { ClusterOptions } from "@holdfast/core";

/**
 * What every member of the cluster has in common. Storage, runners and transport are not here: each process reads
 * HOLDFAST_STORAGE, HOLDFAST_RUNNERS and HOLDFAST_TRANSPORT, so that they can be swapped without a change of code.
 */
export const SETTINGS = {
  shardsPerGroup: 60,
  shardRebalanceDebounce: "100ms",
  storagePollInterval: "200ms",
  // A runner that was killed is given up after this; the default of 30s is for networks that are less at hand.
  runnerLockTtl: "3s",
  runnerLockRefreshInterval: "500ms",
  entityTerminationTimeout: "2s",
} satisfies ClusterOptions;
