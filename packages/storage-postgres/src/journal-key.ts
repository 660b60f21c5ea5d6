import { hash } from "node:crypto";
import type { ExecutionKey } from "@holdfast/core/adapter";

/** The id of a request as it is made: 128 bits, the first of them its time. */
const REQUEST_ID = /^[0-9a-f]{32}$/;

/**
 * Under what an execution's journal is filed, in hexadecimal: the id of its request, so that what is under way at one time is
 * together in the index (four fifths of the server's time for ten steps, of what keys without an order take). Where the
 * id is not given, or is none of ours: 128 bits of a hash. The schema's journal_key_v12 makes the same, and readers look
 * under both.
 */
export function journalKeyOf(execution: ExecutionKey): string {
  const { requestId } = execution;
  if (requestId !== undefined && REQUEST_ID.test(requestId)) return requestId;
  return hash("sha256", nameOf(execution)).slice(0, 32);
}

/** Types have no slash. */
export function nameOf({ entityType, executionId }: ExecutionKey): string {
  return `${entityType}/${executionId}`;
}
