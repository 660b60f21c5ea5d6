import type { Clock } from "../adapter/clock.ts";
import type { RequestState } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { Watcher } from "../contract/workflow-contract.ts";
import type { Fence } from "../data/epoch.ts";

/** What a workflow's executions stand on. */
export interface ExecutionServices {
  readonly storage: WorkflowStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  /** Undefined where the storage has no transactions for activities. */
  readonly beginTransaction: (() => StorageTransaction) | undefined;
  /** What storage knows of the request that an execution is. */
  readonly lookUp: (entityType: string, executionId: string) => Promise<RequestState | null>;
  /** Whether a request is in memory here: it runs, is being put off, or its reply is being recorded. */
  readonly isHosted: (requestId: string) => boolean;
  /** Has a request that was put off run now. */
  readonly hasten: (
    request: { readonly requestId: string; readonly attempts: number },
    fence: Fence,
  ) => Promise<void>;
  /** Has the execution of a watcher woken. Resolves when that is durable. */
  readonly wake: (watcher: Watcher) => Promise<void>;
  /** Whether code is only held against a journal: a run ends where that does, and nothing is done or recorded. */
  readonly replayOnly: boolean;
}
