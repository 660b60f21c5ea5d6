import type { ClusterOptions } from "@holdfast/core";

/** What the runners and the front have in common. What they stand on is in HOLDFAST_STORAGE, _RUNNERS and _TRANSPORT. */
export const SETTINGS = {
  shardsPerGroup: 30,
  shardRebalanceDebounce: "100ms",
  storagePollInterval: "200ms",
  runnerLockTtl: "2s",
  runnerLockRefreshInterval: "400ms",
  entityTerminationTimeout: "2s",
} satisfies ClusterOptions;
