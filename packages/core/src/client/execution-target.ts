import type { AnyWorkflowContract, Watcher } from "../contract/workflow-contract.ts";
import type { CallTarget } from "./caller.ts";

/** Where a message of this tag to an execution goes. */
export function executionTarget(contract: AnyWorkflowContract, executionId: string, tag: string): CallTarget {
  return { contract: contract.entity, entityId: executionId, tag, fromInside: true };
}

/** The same where nothing is at hand but where the execution is. */
export function untypedTarget({ entityType, executionId, shardGroup }: Watcher, tag: string): CallTarget {
  const contract = { name: entityType, shardGroup, rpcs: {} };
  return { contract, entityId: executionId, tag, fromInside: true, persisted: true };
}
