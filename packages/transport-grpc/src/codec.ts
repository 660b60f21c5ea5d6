// Codec: messages between members, to and from the protocol's form.
//
//   C1  What is read is checked, field by field: nothing of an unknown shape reaches the cluster.
//   C2  What was encoded comes back equal.

import {
  PayloadTooLargeError,
  type EncodedError,
  type Envelope,
  type RejectionCode,
  type Reply,
  type ShardId,
  type WireMessage,
} from "@holdfast/core/adapter";
import { messageType, type ProtoMessage } from "./protocol.ts";

/** What a peer sent is no message of this protocol. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
  /** Whether it is a protocol, but another version of it. */
  readonly isVersion: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isVersion?: boolean } = {}) {
    super(message, options);
    this.isVersion = options.isVersion ?? false;
  }
}

/** Errors have causes; a chain that is longer is no error that anybody made. */
const MAX_CAUSES = 100;
const REJECTION = "REJECTION_CODE_";
const EXPECTS = "EXPECTS_";
const REJECTION_CODES: ReadonlySet<string> = new Set<RejectionCode>([
  "NOT_ASSIGNED",
  "CLOSING",
  "MAILBOX_FULL",
  "UNKNOWN_ENTITY",
  "UNKNOWN_RPC",
  "PROTECTED_RPC",
  "INVALID_INPUT",
  "PERSISTENCE",
]);

/** @throws {PayloadTooLargeError} */
export function encodeMessage(message: WireMessage, limitBytes: number): Buffer {
  const bytes = messageType.serialize(toProto(message));
  if (bytes.length > limitBytes)
    throw new PayloadTooLargeError({
      what: `A message (${message.type})`,
      payloadBytes: bytes.length,
      limitBytes,
    });
  return bytes;
}

function toProto(message: WireMessage): ProtoMessage {
  switch (message.type) {
    case "request":
      return { request: requestToProto(message.envelope) };
    case "reply":
      return { reply: replyToProto(message.reply) };
    case "chunk":
      return { chunk: message.chunk };
    case "rejected":
      return { rejected: { ...message, code: REJECTION + message.code } };
    default:
      return { [message.type]: message };
  }
}

function requestToProto(envelope: Envelope): Readonly<Record<string, unknown>> {
  const { address, deduplicationKey, deliverAt, expects, ...rest } = envelope;
  return {
    ...rest,
    ...address,
    expects: EXPECTS + expects.toUpperCase(),
    ...(deduplicationKey === null ? {} : { deduplicationKey }),
    ...(deliverAt === null ? {} : { deliverAt }),
  };
}

function replyToProto({ requestId, exit }: Reply): Readonly<Record<string, unknown>> {
  return exit.ok ? { requestId, value: exit.value } : { requestId, error: errorToProto(exit.error) };
}

function errorToProto(error: EncodedError): Readonly<Record<string, unknown>> {
  const { className, code, stack, data, cause, ...rest } = error;
  return {
    ...rest,
    ...(className === undefined ? {} : { className }),
    ...(code === null ? {} : { code }),
    ...(stack === null ? {} : { stack }),
    ...(data === null ? {} : { data }),
    ...(cause === null ? {} : { cause: errorToProto(cause) }),
  };
}

/** @throws {ProtocolViolation} */
export function decodeMessage(message: ProtoMessage): WireMessage {
  const { kind = "" } = message;
  const fields = message[kind];
  if (typeof fields !== "object" || fields === null)
    throw new ProtocolViolation("a message without a known kind");
  const body = fields as Readonly<Record<string, unknown>>;
  switch (kind) {
    case "request":
      return { type: "request", envelope: envelopeOf(body) };
    case "accepted":
    case "probe":
      return { type: kind, requestId: id(body, "requestId") };
    case "rejected":
      return {
        type: "rejected",
        requestId: id(body, "requestId"),
        code: codeOf(body["code"]),
        detail: text(body, "detail"),
      };
    case "reply":
      return { type: "reply", reply: replyOf(body) };
    case "chunk":
      return {
        type: "chunk",
        chunk: { requestId: id(body, "requestId"), index: count(body, "index"), value: text(body, "value") },
      };
    case "acknowledge":
      return { type: "acknowledge", requestId: id(body, "requestId"), upTo: count(body, "upTo") };
    case "interrupt":
      return { type: "interrupt", requestId: id(body, "requestId"), shardId: shardOf(body["shardId"]) };
    case "known":
      return { type: "known", requestId: id(body, "requestId"), known: body["known"] === true };
    case "wake":
    case "released":
      return { type: kind, shardIds: (body["shardIds"] as readonly unknown[]).map(shardOf) };
    case "ping":
    case "pong":
      return { type: kind, nonce: text(body, "nonce") };
    default:
      throw new ProtocolViolation("a message of an unknown kind");
  }
}

function envelopeOf(body: Readonly<Record<string, unknown>>): Envelope {
  return {
    requestId: id(body, "requestId"),
    address: {
      entityType: id(body, "entityType"),
      entityId: id(body, "entityId"),
      shardId: shardOf(body["shardId"]),
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

function replyOf(body: Readonly<Record<string, unknown>>): Reply {
  const requestId = id(body, "requestId");
  if (body["exit"] === "value") return { requestId, exit: { ok: true, value: text(body, "value") } };
  if (body["exit"] === "error") return { requestId, exit: { ok: false, error: errorOf(body["error"], 0) } };
  throw new ProtocolViolation("a reply without a value or an error");
}

function errorOf(value: unknown, depth: number): EncodedError {
  if (depth > MAX_CAUSES) throw new ProtocolViolation("an error with too long a chain of causes");
  const body = value as Readonly<Record<string, unknown>>;
  const className = optionalText(body, "className");
  const cause = body["cause"];
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
  return Object.fromEntries(Object.entries((value ?? {}) as Readonly<Record<string, string>>));
}

function expectsOf(value: unknown): Envelope["expects"] {
  switch (value) {
    case "EXPECTS_REPLY":
      return "reply";
    case "EXPECTS_STREAM":
      return "stream";
    case "EXPECTS_ACCEPTANCE":
      return "acceptance";
    default:
      throw new ProtocolViolation("a request that expects nothing known");
  }
}

function codeOf(value: unknown): RejectionCode {
  const code = typeof value === "string" ? value.slice(REJECTION.length) : "";
  if (!REJECTION_CODES.has(code)) throw new ProtocolViolation("a rejection without a known code");
  return code as RejectionCode;
}

function shardOf(value: unknown): ShardId {
  if (typeof value !== "string" || !/^.+:\d+$/su.test(value))
    throw new ProtocolViolation("a shard id that is none");
  return value as ShardId;
}

function id(body: Readonly<Record<string, unknown>>, field: string): string {
  const value = text(body, field);
  if (value === "") throw new ProtocolViolation(`no ${field}`);
  return value;
}

function text(body: Readonly<Record<string, unknown>>, field: string): string {
  const value = body[field];
  if (typeof value !== "string") throw new ProtocolViolation(`no ${field}`);
  return value;
}

function optionalText(body: Readonly<Record<string, unknown>>, field: string): string | null {
  const value = body[field];
  return typeof value === "string" ? value : null;
}

function count(body: Readonly<Record<string, unknown>>, field: string): number {
  const value = body[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new ProtocolViolation(`a ${field} that is no count`);
  return value;
}
