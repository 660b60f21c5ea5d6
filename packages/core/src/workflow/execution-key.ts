import type { ExecutionKey } from "../adapter/workflow-storage.ts";
import type { Envelope } from "../data/envelope.ts";

/** The execution that a request is. */
export function executionKeyOf({ requestId, address }: Envelope): ExecutionKey {
  return { entityType: address.entityType, executionId: address.entityId, requestId };
}
