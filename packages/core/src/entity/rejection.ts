// Rejection: how a runner says that it refuses a request, and the error that this becomes for who sent it.
//
// A refusal's detail is a text whose meaning depends on its code. What is made here is read here, also by other versions.

import { Buffer } from "node:buffer";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { beginningOf } from "../contract/beginning.ts";
import { plainIssues, type PlainIssue } from "../contract/issues.ts";
import { takesAtMost } from "../contract/key.ts";
import { entityKey } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Rejected, WireMessage } from "../data/wire-message.ts";
import { isHoldfastError, type HoldfastError } from "../errors/holdfast-error.ts";
import {
  EntityNotAssignedError,
  InvalidInputError,
  MailboxFullError,
  ProtectedRpcError,
  UnknownEntityError,
  UnknownRpcError,
} from "../errors/routing.ts";
import { PersistenceError } from "../errors/storage.ts";

// Senders compare these two, those of other versions, too: they stay as they are.

/** The detail of a NOT_ASSIGNED rejection of what was accepted, or may have been. */
export const ACCEPTED_BEFORE = "it was accepted, and its shard is at another runner now";
/** The detail of a PERSISTENCE rejection by who surely has accepted nothing. */
export const OUT_OF_REACH = "storage or leases are out of its reach";

/** Whoever asks the shard's next owner finds it. */
export function notHere(requestId: string, detail: string): WireMessage {
  return { type: "rejected", requestId, code: "NOT_ASSIGNED", detail };
}

/** To who reads a stream of which storage keeps what it could not give: it asks again. */
export function chunksUnread(requestId: string): WireMessage {
  return {
    type: "rejected",
    requestId,
    code: "PERSISTENCE",
    detail: "the kept chunks of the stream could not be read",
  };
}

/** So many bytes of details a refusal has: each transport carries that, whatever it says. */
const MOST_DETAIL_BYTES = 16 * 1_024;
/** Of an issue's message so many characters are told where all together are too large. */
const MOST_OF_AN_ISSUE = 1_000;

/** The detail of an UNKNOWN_ENTITY or UNKNOWN_RPC rejection: the names that are known, or the first of very many. */
export function knownNames(names: Iterable<string>): string {
  return firstOf([...names]).join("\n");
}

/**
 * The detail of an INVALID_INPUT rejection: the schema's issues as JSON, or the first of very many: a long list may have one for
 * each of its items, and more than a transport carries. Never throws, whatever the schema threw or gave.
 */
export function describeInvalidInput(thrown: unknown): string {
  let message = "it could not be parsed";
  try {
    const issues = thrown instanceof InvalidInputError ? thrown.issues : [];
    if (issues.length > 0) return describeIssues(plainIssues(issues));
    if (isHoldfastError(thrown)) ({ message } = thrown);
  } catch {
    // A proxy, or issues with getters: no more can be said of it, and its sender is not to wait for ever.
  }
  return JSON.stringify([{ message }]);
}

function describeIssues(issues: readonly PlainIssue[]): string {
  const whole = JSON.stringify(issues);
  if (takesAtMost(whole, MOST_DETAIL_BYTES)) return whole;
  const told = firstOf(issues.map(shorterIssue));
  const left = issues.length - told.length;
  return `[${[...told, ...(left === 0 ? [] : [JSON.stringify({ message: `and ${left} more` })])].join(",")}]`;
}

/** As JSON; without its path where that alone is long. */
function shorterIssue({ message: whole, ...rest }: PlainIssue): string {
  const message = beginningOf(whole, MOST_OF_AN_ISSUE);
  const text = JSON.stringify({ message, ...rest });
  return text.length > 2 * MOST_OF_AN_ISSUE ? JSON.stringify({ message }) : text;
}

/** The first of these texts, as many as a refusal has room for. */
function firstOf(texts: readonly string[]): readonly string[] {
  let left = MOST_DETAIL_BYTES;
  const end = texts.findIndex((text) => (left -= Buffer.byteLength(text) + 1) < 0);
  return end === -1 ? texts : texts.slice(0, end);
}

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
      return new UnknownEntityError({ entityType, known: namesIn(rejection.detail) });
    case "UNKNOWN_RPC":
      return new UnknownRpcError({ entityType, tag, known: namesIn(rejection.detail) });
    case "PROTECTED_RPC":
      return new ProtectedRpcError({ entityType, tag });
    case "INVALID_INPUT":
      return new InvalidInputError({ of: `${entityType}.${tag}`, issues: issuesIn(rejection.detail) });
    case "PERSISTENCE":
      return new PersistenceError({ operation: "saveRequest", outcome: "unknown", detail: rejection.detail });
    case "NOT_ASSIGNED":
    case "CLOSING":
      return new EntityNotAssignedError({ entity: entityKey(envelope.address), shardId, attempts: 1 });
  }
}

/** What `knownNames` made. */
function namesIn(detail: string): readonly string[] {
  return detail === "" ? [] : detail.split("\n");
}

/** What `describeInvalidInput` made. What came from another member is not believed to be that. */
function issuesIn(detail: string): readonly StandardSchemaV1.Issue[] {
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
