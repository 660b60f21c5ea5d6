import type { RunnerRecord } from "@holdfast/core/adapter";

/** A member of a cluster, as the tests of runner storages register it. */
export function member(runnerId: string, changes: Partial<RunnerRecord> = {}): RunnerRecord {
  return {
    runnerId,
    address: `grpc://${runnerId}:9000`,
    role: "runner",
    weight: 1,
    shardGroups: ["default"],
    entityTypes: [],
    shardsPerGroup: 300,
    protocolVersion: 1,
    ...changes,
  };
}
