// Settings: what every member of a cluster under test has in common. Short leases, so that faults outlast them soon.

import type { ClusterOptions } from "@holdfast/core";

export const TTL_MS = 3_000;
/** Long enough for a lease to run out, and for others to take over. */
export const OUTLASTING_MS = TTL_MS + 1_500;
export const SHARDS = 24;

export const SETTINGS = {
  shardsPerGroup: SHARDS,
  runnerLockTtl: TTL_MS,
  runnerLockRefreshInterval: 700,
  shardRebalanceDebounce: 200,
  storagePollInterval: 200,
  entityTerminationTimeout: "2s",
  // A runner that reaches the lease store but not the database would keep its shards, and do nothing for them.
  detachmentEnabled: true,
  // Whoever cannot be had for long is gone on from here, and not a dead letter: the faults last for seconds.
  storageMessageMaxRetries: 1_000,
} satisfies ClusterOptions;
