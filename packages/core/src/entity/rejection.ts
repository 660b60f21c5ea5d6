import type { StandardSchemaV1 } from "@standard-schema/spec";
import { entityKey } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Rejected } from "../data/wire-message.ts";
import type { HoldfastError } from "../errors/holdfast-error.ts";
import {
  EntityNotAssignedError,
  InvalidInputError,
  MailboxFullError,
  ProtectedRpcError,
  UnknownEntityError,
  UnknownRpcError,
} from "../errors/routing.ts";
import { PersistenceError } from "../errors/storage.ts";

/** The error that a caller gets for a runner's refusal. */
export function rejectionError(
  rejection: Pick<Rejected, "code" | "detail">,
  envelope: Envelope,
): HoldfastError {
  const { entityType, shardId } = envelope.address;
  const { tag } = envelope;
  switch (rejection.code) {
    case "MAILBOX_FULL":
      return new MailboxFullError({
        entity: entityKey(envelope.address),
        capacity: Number(rejection.detail),
      });
    case "UNKNOWN_ENTITY":
      return new UnknownEntityError({ entityType, known: lines(rejection.detail) });
    case "UNKNOWN_RPC":
      return new UnknownRpcError({ entityType, tag, known: lines(rejection.detail) });
    case "PROTECTED_RPC":
      return new ProtectedRpcError({ entityType, tag });
    case "INVALID_INPUT":
      return new InvalidInputError({ of: `${entityType}.${tag}`, issues: issues(rejection.detail) });
    case "PERSISTENCE":
      return new PersistenceError({ operation: "saveRequest", outcome: "unknown", detail: rejection.detail });
    case "NOT_ASSIGNED":
    case "CLOSING":
      return new EntityNotAssignedError({ entity: entityKey(envelope.address), shardId, attempts: 1 });
  }
}

function lines(detail: string): readonly string[] {
  return detail === "" ? [] : detail.split("\n");
}

/** What came from another member is not believed to be what it should be. */
function issues(detail: string): readonly StandardSchemaV1.Issue[] {
  try {
    const parsed: unknown = JSON.parse(detail);
    if (!Array.isArray(parsed)) return [{ message: detail }];
    return parsed.map((issue: { message?: unknown; path?: unknown }) => ({
      message: String(issue.message),
      ...(Array.isArray(issue.path) ? { path: issue.path.map(keyOf) } : {}),
    }));
  } catch {
    return [{ message: detail }];
  }
}

function keyOf(key: unknown): string | number {
  return typeof key === "number" ? key : String(key);
}
