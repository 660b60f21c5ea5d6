import type { Logger } from "../contract/logger.ts";
import type { TRANSACTION_SCOPE, TransactionScope } from "../contract/transaction.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Epoch } from "../data/epoch.ts";
import type { EntityPeers } from "./entity-client.ts";
import type { WorkflowClients } from "./workflow-client.ts";

/** What code that runs inside the cluster is given: handlers, singletons, crons. */
export interface RunContext {
  /**
   * Aborted when the shard is lost, the cluster shuts down, or the caller left; its reason is an error of this library, for a
   * handler an InterruptedError. Pass it on to what can be aborted.
   */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** The shard's epoch: send it along to systems of your own, and let them refuse a lower one than they have seen. */
  readonly fencingToken: Epoch;
  /** Clients of other entities, with their protected rpcs. */
  readonly entity: EntityPeers;
  readonly workflow: WorkflowClients;
}

/** The second argument of an entity's handler. */
export interface HandlerContext extends RunContext {
  readonly entityId: string;
  readonly address: EntityAddress;
  readonly requestId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly headers: Readonly<Record<string, string>>;
  /** When the request was to be handled, if it was scheduled. */
  readonly deliverAt: Date | undefined;
  readonly [TRANSACTION_SCOPE]: TransactionScope;
}
