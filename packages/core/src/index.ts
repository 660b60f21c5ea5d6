// What users import.

export {
  defineEntity,
  type DefinitionMistake,
  type EntityDefinition,
  type EntityImplementation,
  type EntityOptions,
} from "./define/entity.ts";
export type { EntityScope, HandlerOf, HandlersOf } from "./define/handlers.ts";
export {
  defineRpcGroup,
  type AnyRpcGroup,
  type RpcGroupDefinition,
  type RpcGroupImplementation,
} from "./define/rpc-group.ts";
export {
  rpc,
  type AnyRpc,
  type AnyRpcs,
  type ErrorClass,
  type Rpc,
  type RpcInput,
  type RpcOptions,
  type RpcOutput,
  type RpcTypes,
  type Visibility,
} from "./contract/rpc.ts";
export {
  defineWorkflow,
  type ContextOf,
  type QueryHandlers,
  type WorkflowDefinition,
  type WorkflowImplementation,
  type WorkflowOptions,
} from "./define/workflow.ts";
export type { WaitOptions, WorkflowContext } from "./define/workflow-context.ts";
export type { ChildHandle, ChildOptions, ChildWorkflow } from "./define/child-workflow.ts";
export { query } from "./define/query.ts";
export {
  activity,
  defineActivityGroup,
  type Activity,
  type ActivityCalls,
  type ActivityContext,
  type ActivityGroup,
  type ActivityOptions,
  type AnyActivities,
  type AnyActivity,
  type AnyActivityGroup,
} from "./define/activity-group.ts";
export type { ActivitySettings } from "./workflow/activity-attempt.ts";
export {
  defineSingleton,
  type SingletonContext,
  type SingletonDefinition,
  type SingletonOptions,
} from "./define/singleton.ts";
export { defineCron, type CronContext, type CronDefinition, type CronOptions } from "./define/cron.ts";

export { createCluster, defineConfig, type ConfigFile } from "./cluster/create-cluster.ts";
export type { Cluster, EntityClientOptions } from "./cluster/cluster.ts";
export type { ClusterOptions } from "./cluster/config.ts";
export type { ClusterEvents } from "./cluster/events.ts";
export type { DeadLetterInfo, DeadLetterQuery, DeadLetters } from "./cluster/dead-letters.ts";
export type { Registrable, Registration } from "./cluster/registration.ts";
export type {
  ClusterCheck,
  ClusterChecks,
  ClusterHealth,
  ClusterMetrics,
  ClusterStatus,
} from "./cluster/status.ts";

export type { CallOptions } from "./client/call-options.ts";
export type { EntityContract } from "./contract/entity-contract.ts";
export type { InputArguments } from "./contract/input-arguments.ts";
export type {
  AnyQueries,
  AnyQuery,
  AnySignals,
  AnyWorkflowContract,
  Query,
  SignalSchemas,
  WorkflowContract,
  WorkflowTypes,
} from "./contract/workflow-contract.ts";
export type {
  CallArguments,
  EntityClient,
  EntityClients,
  EntityPeer,
  EntityPeers,
  RpcCall,
} from "./client/entity-client.ts";
export type { HandlerContext, RunContext } from "./client/handler-context.ts";
export type { UntypedEntityClient } from "./client/untyped-client.ts";
export type {
  ExecuteOptions,
  WorkflowClient,
  WorkflowClients,
  WorkflowStarter,
} from "./client/workflow-client.ts";
export type { ForkOptions } from "./client/fork-execution.ts";
export type { QueryInput, QueryOutput, WorkflowHandle } from "./client/workflow-handle.ts";
export type { ExecutionDescription } from "./client/execution-description.ts";
export type { ExecutionFilter, ExecutionSummary } from "./client/execution-listing.ts";
export type { AttributeValue, ExecutionStatus } from "./data/execution-record.ts";
export type { ExportedJournal } from "./workflow/exported-journal.ts";
export type { StepDescription } from "./workflow/step-description.ts";
export type { Duration } from "./contract/duration.ts";
export type { Logger, LogFields } from "./contract/logger.ts";
export type { Schema, SchemaInput, SchemaOutput } from "./contract/schema.ts";

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
  type FailedCompensation,
  type ShownStep,
} from "./errors/workflow.ts";
