// What adapter authors need, and no more: the interfaces that backends implement, the data that they carry, and the
// errors that they throw; and what every transport needs to read and to queue messages.

export type { Clock, Timer } from "./adapter/clock.ts";
export type { Random } from "./adapter/random.ts";
export { ProtocolViolation } from "./adapter/protocol-violation.ts";
export { readWireMessage } from "./adapter/read-wire-message.ts";
export { SendQueue, type QueueBounds, type QueuedMessage } from "./adapter/send-queue.ts";
export type {
  ForgetQuery,
  MessageStorage,
  MessageStorageSupport,
  PendingPage,
  PendingQuery,
  RequestState,
  SaveRequestResult,
} from "./adapter/message-storage.ts";
export type { RunnerStorage } from "./adapter/runner-storage.ts";
export type {
  AdapterModule,
  AdapterServices,
  OpenRunners,
  OpenStorage,
  RunnersAdapter,
  StorageAdapter,
  TransportAdapter,
} from "./adapter/storage-adapter.ts";
export type { Transport, TransportListener } from "./adapter/transport.ts";
export type {
  ExecutionKey,
  ExecutionQuery,
  ExecutionTags,
  InboxMessage,
  StoredExecution,
  WorkflowStorage,
} from "./adapter/workflow-storage.ts";

export type { DeadLetter } from "./data/dead-letter.ts";
export type { EncodedError } from "./data/encoded-error.ts";
export { entityKey, type EntityAddress } from "./data/entity-address.ts";
export type { Envelope, PendingRequest } from "./data/envelope.ts";
export type { Epoch, Fence } from "./data/epoch.ts";
export {
  CANCELLED_CODE,
  type AttributeValue,
  type ExecutionRecord,
  type ExecutionStatus,
} from "./data/execution-record.ts";
export type { JournalEntry, JournalEvent, StepKind } from "./data/journal-entry.ts";
export type { Chunk, Exit, Reply } from "./data/reply.ts";
export type { RunnerRecord } from "./data/runner-record.ts";
export { firstRequestIdOf, timeOfRequestId } from "./data/request-id.ts";
export { inPlaceOf } from "./entity/answers.ts";
export { shardGroupOf, shardIdOf, type ShardId } from "./data/shard-id.ts";
export type { RejectionCode, WireMessage } from "./data/wire-message.ts";

export { milliseconds, type Duration } from "./contract/duration.ts";
export {
  transactionScopeOf,
  type HasTransactionScope,
  type StorageTransaction,
} from "./contract/transaction.ts";

export { AdapterNotInstalledError, ConfigError } from "./errors/config.ts";
export { HoldfastError } from "./errors/holdfast-error.ts";
export { RunnerUnavailableError } from "./errors/routing.ts";
export {
  FencedError,
  PayloadTooLargeError,
  PersistenceError,
  SerializationError,
  TransactionUnavailableError,
} from "./errors/storage.ts";
