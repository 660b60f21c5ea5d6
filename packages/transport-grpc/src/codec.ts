// Codec: messages between members, to and from the protocol's form.
//
//   C1  What is read is checked, field by field, as core does for every transport.
//   C2  What was encoded comes back equal.

import {
  ProtocolViolation,
  readWireMessage,
  type EncodedError,
  type Envelope,
  type Reply,
  type WireMessage,
} from "@holdfast/core/adapter";
import { messageType, type ProtoMessage } from "./protocol.ts";
import { tooLarge } from "./too-large.ts";

const REJECTION = "REJECTION_CODE_";
const EXPECTS = "EXPECTS_";

/** @throws {PayloadTooLargeError} */
export function encodeMessage(message: WireMessage, limitBytes: number): Buffer {
  const bytes = messageType.serialize(toProto(message));
  if (bytes.length > limitBytes) throw tooLarge(message, bytes.length, limitBytes);
  return bytes;
}

function toProto(message: WireMessage): ProtoMessage {
  switch (message.type) {
    case "request":
      return {
        request: {
          ...requestToProto(message.envelope),
          sending: message.sending ?? 0,
          readFrom: message.readFrom ?? 0,
        },
      };
    case "reply":
      return {
        reply: {
          ...replyToProto(message.reply),
          keptFrom: message.keptFrom ?? 0,
          chunkCount: message.chunkCount ?? 0,
        },
      };
    case "chunk":
      return { chunk: { ...message.chunk, keptFrom: message.keptFrom ?? 0 } };
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
  return readWireMessage(fromProto(kind, fields as Readonly<Record<string, unknown>>));
}

/** In the shape of a message, unchecked. */
function fromProto(type: string, body: Readonly<Record<string, unknown>>): unknown {
  switch (type) {
    case "request": {
      const { entityType, entityId, shardId, sending, readFrom } = body;
      const address = { entityType, entityId, shardId };
      return {
        type,
        sending,
        readFrom,
        envelope: { ...body, address, expects: named(EXPECTS, body["expects"])?.toLowerCase() },
      };
    }
    case "rejected":
      return { ...body, type, code: named(REJECTION, body["code"]) };
    case "reply": {
      const { requestId, exit, value, error, keptFrom, chunkCount } = body;
      const ok = exit === "value" ? true : exit === "error" ? false : null;
      return { type, keptFrom, chunkCount, reply: { requestId, exit: { ok, value, error } } };
    }
    case "chunk":
      return { type, keptFrom: body["keptFrom"], chunk: body };
    default:
      return { ...body, type };
  }
}

/** What an enum's value is called without what all of its values begin with. */
function named(prefix: string, value: unknown): string | undefined {
  return typeof value === "string" && value.startsWith(prefix) ? value.slice(prefix.length) : undefined;
}
