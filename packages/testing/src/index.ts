// What tests of clusters and of adapters import.

export { createTestCluster, type TestCluster, type TestClusterOptions } from "./test-cluster.ts";
export type { BackendFaultOptions, FaultOptions } from "./faults.ts";
export type { TestRunner } from "./test-runner.ts";
export { replayWorkflow, type ReplayResult } from "./replay-workflow.ts";
export { messageStorageConformance } from "./conformance/message-storage.ts";
export { runnerStorageConformance } from "./conformance/runner-storage.ts";
export { transportConformance } from "./conformance/transport.ts";
export { workflowStorageConformance } from "./conformance/workflow-storage.ts";
export type { RunnersBackend, RunnersFactory } from "./conformance/runners-backend.ts";
export type { StorageBackend, StorageFactory, TransactionProbe } from "./conformance/storage-backend.ts";
export type { TransportBackend, TransportFactory } from "./conformance/transport-backend.ts";
