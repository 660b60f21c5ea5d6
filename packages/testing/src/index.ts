// What tests of clusters and of adapters import.

export { createTestCluster, type TestCluster } from "./test-cluster.ts";
export type { TestClusterOptions } from "./test-cluster-options.ts";
export { TestClusterError } from "./test-cluster-error.ts";
export type { BackendFaultOptions, FaultOptions, Faults } from "./faults.ts";
export type { Tamper } from "./gated-storage.ts";
export type { RunnerOptions, TestRunner } from "./test-runner.ts";
export { simulate, type SimulateOptions, type SimulationSummary } from "./simulation/simulate.ts";
export { SimulationError, type SimulationDetails } from "./simulation/simulation-error.ts";
export { Violation } from "./simulation/violation.ts";
export type { Scenario, ScenarioRun, SimulatedProcess, Simulation } from "./simulation/scenario.ts";
export type { RunResult } from "./simulation/simulated-run.ts";
export type { FaultKind } from "./simulation/fault-plan.ts";
export type { TraceEvent, Tracer } from "./trace.ts";
export { checkExactlyOnce, type OnceHistory } from "./checkers/exactly-once.ts";
export { checkOneOwner, type OwnedWrite } from "./checkers/one-owner.ts";
export { checkOneAtATime, type Stay } from "./checkers/one-at-a-time.ts";
export { checkOrder, type Handled } from "./checkers/order.ts";
export { checkNoLostRequest, type AcceptedHistory } from "./checkers/no-lost-request.ts";
export { checkTimers, type TimerHistory } from "./checkers/timers.ts";
export { checkReplies, type Told } from "./checkers/replies.ts";
export { checkLinearizable, isLinearizable, type Model, type Operation } from "./checkers/linearizability.ts";
export {
  registerModel,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
} from "./checkers/register.ts";
export { counterModel, type CounterInput, type CounterOperation } from "./checkers/counter.ts";
export { replayWorkflow, type ReplayResult } from "./replay-workflow.ts";
export { adapterServices } from "./conformance/adapter-services.ts";
export { messageStorageConformance } from "./conformance/message-storage.ts";
export { runnerStorageConformance } from "./conformance/runner-storage.ts";
export { transportConformance } from "./conformance/transport.ts";
export { workflowStorageConformance } from "./conformance/workflow-storage.ts";
export type { RunnersBackend, RunnersFactory } from "./conformance/runners-backend.ts";
export type { StorageBackend, StorageFactory, TransactionProbe } from "./conformance/storage-backend.ts";
export type { TransportBackend, TransportFactory } from "./conformance/transport-backend.ts";
