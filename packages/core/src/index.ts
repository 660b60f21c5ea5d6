// What users import.

export {
  defineEntity,
  type EntityDefinition,
  type EntityImplementation,
  type EntityOptions,
} from "./define/entity.ts";
export type { EntityScope, HandlerOf, HandlersOf } from "./define/handlers.ts";
export { defineRpcGroup, type RpcGroupDefinition, type RpcGroupImplementation } from "./define/rpc-group.ts";
export {
  rpc,
  type Rpc,
  type RpcInput,
  type RpcOptions,
  type RpcOutput,
  type Visibility,
} from "./contract/rpc.ts";
export {
  defineWorkflow,
  type ContextOf,
  type WorkflowDefinition,
  type WorkflowImplementation,
  type WorkflowOptions,
} from "./define/workflow.ts";
export type { WorkflowContext } from "./define/workflow-context.ts";
export type { ChildHandle, ChildOptions, ChildWorkflow } from "./define/child-workflow.ts";
export { query } from "./define/query.ts";
export {
  activity,
  defineActivityGroup,
  type Activity,
  type ActivityContext,
  type ActivityGroup,
  type ActivityOptions,
} from "./define/activity-group.ts";
export {
  defineSingleton,
  type SingletonContext,
  type SingletonDefinition,
  type SingletonOptions,
} from "./define/singleton.ts";
export { defineCron, type CronContext, type CronDefinition, type CronOptions } from "./define/cron.ts";

export { createCluster, defineConfig, type ConfigFile } from "./cluster/create-cluster.ts";
export type { Cluster } from "./cluster/cluster.ts";
export type { ClusterOptions } from "./cluster/config.ts";
export type { ClusterEvents } from "./cluster/events.ts";
export type { DeadLetterInfo, DeadLetters } from "./cluster/dead-letters.ts";
export type { Registration } from "./cluster/registration.ts";
export type {
  ClusterCheck,
  ClusterChecks,
  ClusterHealth,
  ClusterMetrics,
  ClusterStatus,
} from "./cluster/status.ts";

export type { CallOptions } from "./client/caller.ts";
export type { AnyQuery, Query } from "./contract/workflow-contract.ts";
export type { EntityClient, EntityClients, EntityPeer } from "./client/entity-client.ts";
export type { HandlerContext, RunContext } from "./client/handler-context.ts";
export type { UntypedEntityClient } from "./client/untyped-client.ts";
export type { WorkflowClient, WorkflowClients, WorkflowStarter } from "./client/workflow-client.ts";
export type { WorkflowHandle } from "./client/workflow-handle.ts";
export type { ExecutionDescription } from "./client/execution-description.ts";
export type { ExecutionFilter, ExecutionSummary } from "./client/execution-listing.ts";
export type { AttributeValue, ExecutionStatus } from "./data/execution-record.ts";
export type { ExportedJournal } from "./workflow/exported-journal.ts";
export type { StepDescription } from "./workflow/step-description.ts";
export type { Duration } from "./contract/duration.ts";
export type { Logger, LogFields } from "./contract/logger.ts";
export type { Schema } from "./contract/schema.ts";

export {
  createMemoryBackend,
  memoryRunners,
  memoryStorage,
  type MemoryBackend,
} from "./memory/memory-backend.ts";
export { memoryTransport } from "./memory/memory-transport.ts";

export { AdapterNotInstalledError, ConfigError, DefinitionError } from "./errors/config.ts";
export { HoldfastError, isHoldfastError } from "./errors/holdfast-error.ts";
export { RemoteError } from "./errors/remote-error.ts";
export {
  ClusterClosedError,
  EntityNotAssignedError,
  InterruptedError,
  InvalidInputError,
  MailboxFullError,
  ProtectedRpcError,
  RunnerUnavailableError,
  TimeoutError,
  UnknownEntityError,
  UnknownRpcError,
} from "./errors/routing.ts";
export {
  DeadLetteredError,
  FencedError,
  PayloadTooLargeError,
  PersistenceError,
  SerializationError,
  TransactionUnavailableError,
} from "./errors/storage.ts";
export {
  ActivityTimeoutError,
  ExecutionStateError,
  JournalFullError,
  NonDeterminismError,
  SignalTimeoutError,
  UnknownExecutionError,
  WorkflowCancelledError,
  WorkflowFailedError,
} from "./errors/workflow.ts";
