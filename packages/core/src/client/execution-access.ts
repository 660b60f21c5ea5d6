import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { ShardId } from "../data/shard-id.ts";

/** What operating on executions needs besides calls. @throws {ClusterClosedError} each, where the cluster is not started */
export interface ExecutionAccess {
  readonly workflows: () => WorkflowStorage;
  readonly messages: () => MessageStorage;
  /** Tells the owner of a shard that there is work for it. */
  readonly wakeOwner: (shardId: ShardId) => void;
  /** Wall time. */
  readonly now: () => number;
  readonly clock: () => Clock;
  /** An id that no other execution has. */
  readonly newId: () => string;
}
