// What transports read off a wire, checked field by field: nothing of an unknown shape reaches the cluster.

import type { EncodedError } from "../data/encoded-error.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { RejectionCode, WireMessage } from "../data/wire-message.ts";
import { ProtocolViolation } from "./protocol-violation.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Errors have causes; a chain that is longer is no error that anybody made. */
const MAX_CAUSES = 100;
const REJECTION_CODES: Readonly<Record<RejectionCode, true>> = {
  NOT_ASSIGNED: true,
  CLOSING: true,
  MAILBOX_FULL: true,
  UNKNOWN_ENTITY: true,
  UNKNOWN_RPC: true,
  PROTECTED_RPC: true,
  INVALID_INPUT: true,
  PERSISTENCE: true,
};

/**
 * Makes a message of a value of its shape, as JSON gives it. Fields that a message does not have are left out: a later
 * release may send them.
 *
 * @throws {ProtocolViolation} it is no message; says what of it is not, and shows nothing of what it holds
 */
export function readWireMessage(value: unknown): WireMessage {
  const body = fields(value, "a message");
  const { type } = body;
  switch (type) {
    case "request": {
      const envelope = envelopeOf(fields(body["envelope"], "an envelope"));
      const sending = body["sending"] === undefined ? 0 : count(body, "sending");
      const readFrom = body["readFrom"] === undefined ? 0 : count(body, "readFrom");
      return {
        type,
        envelope,
        ...(sending === 0 ? {} : { sending }),
        ...(readFrom === 0 ? {} : { readFrom }),
      };
    }
    case "accepted":
    case "probe":
      return { type, requestId: id(body, "requestId") };
    case "rejected":
      return {
        type,
        requestId: id(body, "requestId"),
        code: codeOf(body["code"]),
        detail: text(body, "detail"),
        ...(typeof body["sending"] === "number" ? { sending: count(body, "sending") } : {}),
      };
    case "reply":
      return {
        type,
        reply: replyOf(fields(body["reply"], "a reply")),
        ...unlessZero(body, "keptFrom"),
        ...unlessZero(body, "chunkCount"),
      };
    case "chunk": {
      const chunk = fields(body["chunk"], "a chunk");
      return {
        type,
        chunk: {
          requestId: id(chunk, "requestId"),
          index: count(chunk, "index"),
          value: text(chunk, "value"),
        },
        ...unlessZero(body, "keptFrom"),
      };
    }
    case "acknowledge":
      return { type, requestId: id(body, "requestId"), upTo: count(body, "upTo") };
    case "interrupt":
      return { type, requestId: id(body, "requestId"), shardId: shardOf(body["shardId"]) };
    case "known":
      return { type, requestId: id(body, "requestId"), known: body["known"] === true };
    case "wake":
    case "released":
      return { type, shardIds: shardsOf(body["shardIds"]) };
    case "ping":
    case "pong":
      return { type, nonce: text(body, "nonce") };
    default:
      throw new ProtocolViolation("a message of an unknown kind");
  }
}

/** A count that is left out for 0. */
function unlessZero<Name extends string>(body: Fields, name: Name): { readonly [Key in Name]?: number } {
  const value = body[name] === undefined ? 0 : count(body, name);
  return (value === 0 ? {} : { [name]: value }) as { readonly [Key in Name]?: number };
}

function envelopeOf(body: Fields): Envelope {
  const address = fields(body["address"], "an address");
  return {
    requestId: id(body, "requestId"),
    address: {
      entityType: id(address, "entityType"),
      entityId: id(address, "entityId"),
      shardId: shardOf(address["shardId"]),
    },
    tag: id(body, "tag"),
    payload: text(body, "payload"),
    headers: headersOf(body["headers"]),
    persisted: body["persisted"] === true,
    expects: expectsOf(body["expects"]),
    deduplicationKey: optionalText(body, "deduplicationKey"),
    deliverAt: typeof body["deliverAt"] === "number" ? count(body, "deliverAt") : null,
    uninterruptible: body["uninterruptible"] === true,
    fromInside: body["fromInside"] === true,
    sender: text(body, "sender"),
    readPendingFirst: body["readPendingFirst"] === true,
  };
}

function replyOf(body: Fields): Reply {
  const requestId = id(body, "requestId");
  const exit = fields(body["exit"], "an exit");
  if (exit["ok"] === true) return { requestId, exit: { ok: true, value: text(exit, "value") } };
  if (exit["ok"] === false) return { requestId, exit: { ok: false, error: errorOf(exit["error"], 0) } };
  throw new ProtocolViolation("a reply without a value or an error");
}

function errorOf(value: unknown, depth: number): EncodedError {
  if (depth > MAX_CAUSES) throw new ProtocolViolation("an error with too long a chain of causes");
  const body = fields(value, "an error");
  const className = optionalText(body, "className");
  const { cause } = body;
  return {
    name: text(body, "name"),
    ...(className === null ? {} : { className }),
    message: text(body, "message"),
    code: optionalText(body, "code"),
    stack: optionalText(body, "stack"),
    data: optionalText(body, "data"),
    cause: cause === undefined || cause === null ? null : errorOf(cause, depth + 1),
    own: body["own"] === true,
  };
}

/** Own properties only, whatever their names are. */
function headersOf(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(fields(value ?? {}, "headers"));
  if (entries.some(([, header]) => typeof header !== "string"))
    throw new ProtocolViolation("a header that is no text");
  return Object.fromEntries(entries) as Readonly<Record<string, string>>;
}

function expectsOf(value: unknown): Envelope["expects"] {
  if (value === "reply" || value === "stream" || value === "acceptance") return value;
  throw new ProtocolViolation("a request that expects nothing known");
}

function codeOf(value: unknown): RejectionCode {
  if (typeof value !== "string" || !Object.hasOwn(REJECTION_CODES, value))
    throw new ProtocolViolation("a rejection without a known code");
  return value as RejectionCode;
}

function shardsOf(value: unknown): readonly ShardId[] {
  if (!Array.isArray(value)) throw new ProtocolViolation("no shardIds");
  return value.map(shardOf);
}

function shardOf(value: unknown): ShardId {
  if (typeof value !== "string" || !/^.+:\d+$/su.test(value))
    throw new ProtocolViolation("a shard id that is none");
  return value as ShardId;
}

function id(body: Fields, field: string): string {
  const value = text(body, field);
  if (value === "") throw new ProtocolViolation(`no ${field}`);
  return value;
}

function text(body: Fields, field: string): string {
  const value = body[field];
  if (typeof value !== "string") throw new ProtocolViolation(`no ${field}`);
  return value;
}

function optionalText(body: Fields, field: string): string | null {
  const value = body[field];
  return typeof value === "string" ? value : null;
}

function count(body: Fields, field: string): number {
  const value = body[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new ProtocolViolation(`a ${field} that is no count`);
  return value;
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ProtocolViolation(`${what} that is none`);
  return value as Fields;
}
