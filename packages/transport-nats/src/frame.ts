// Frames: what one NATS message between members holds. JSON, so that a person can read along with `nats sub`, and a peer in
// another language can be written from docs/nats.md.

import {
  PayloadTooLargeError,
  ProtocolViolation,
  readWireMessage,
  type WireMessage,
} from "@holdfast/core/adapter";

/** What members of this release say to each other. */
export const PROTOCOL_VERSION = 1;
/** What a frame of messages takes besides them, at most. */
export const FRAME_OVERHEAD_BYTES = 128;

const NO_NUMBER = "none";

/** Who opens a link or answers that: its address, and the subject at which this end of the link hears. */
export interface Greeting {
  readonly address: string;
  readonly link: string;
}

export type Frame =
  | { readonly kind: "hello" | "welcome"; readonly greeting: Greeting }
  /** `seq` counts the frames with messages of one link, from 1. */
  | {
      readonly kind: "data";
      readonly seq: number;
      readonly ack: number;
      readonly asks: boolean;
      readonly messages: readonly WireMessage[];
    }
  /**
   * Every frame up to `ack` came. `asks`: say the same of mine. `sent`: the last frame with messages that was published before
   * this one; null: that is not said.
   */
  | { readonly kind: "ack"; readonly ack: number; readonly asks: boolean; readonly sent: number | null }
  /** The link is over. Nothing after frame `ack` was read or will be; null: the link is not known here. */
  | { readonly kind: "bye"; readonly ack: number | null };

/** The subject of one end of a link, and a frame's number at it: who publishes hears there if nobody hears the frame. */
export interface ReplySubject {
  readonly link: string;
  /** Of a frame with messages. Null: of another, which says nothing of those when nobody heard it. */
  readonly seq: number | null;
}

export function encodeReply({ link, seq }: ReplySubject): string {
  return `${link}.${seq ?? NO_NUMBER}`;
}

/** Of a subject that is none, whatever names no link. */
export function decodeReply(reply: string): ReplySubject {
  const dot = reply.lastIndexOf(".");
  const seq = reply.slice(dot + 1);
  return { link: reply.slice(0, Math.max(0, dot)), seq: /^\d{1,15}$/u.test(seq) ? Number(seq) : null };
}

/** @throws {PayloadTooLargeError} */
export function encodeMessage(message: WireMessage, limitBytes: number): Buffer {
  const bytes = Buffer.from(JSON.stringify(message));
  if (bytes.length > limitBytes)
    throw new PayloadTooLargeError({
      what: `A message (${message.type})`,
      payloadBytes: bytes.length,
      limitBytes,
      raise: "max_payload of the NATS servers",
    });
  return bytes;
}

export function encodeGreeting(kind: "hello" | "welcome", { address, link }: Greeting): Buffer {
  return Buffer.from(JSON.stringify({ [kind]: { version: PROTOCOL_VERSION, address, link } }));
}

export function encodeAck(ack: number): Buffer {
  return Buffer.from(JSON.stringify({ ack }));
}

/** An acknowledgement that asks for one of every frame up to `sent`. */
export function encodeAsk(ack: number, sent: number): Buffer {
  return Buffer.from(JSON.stringify({ ack, asks: true, sent }));
}

export function encodeBye(ack: number | null): Buffer {
  return Buffer.from(JSON.stringify({ bye: ack === null ? {} : { ack } }));
}

const COMMA = Buffer.from(",");
const END = Buffer.from("]}");

/** One frame of messages that were encoded before. */
export function encodeData(
  { seq, ack, asks }: { readonly seq: number; readonly ack: number; readonly asks: boolean },
  messages: readonly Uint8Array[],
): Buffer {
  const parts: Uint8Array[] = [
    Buffer.from(`{"seq":${seq},"ack":${ack},${asks ? '"asks":true,' : ""}"messages":[`),
  ];
  for (const [index, message] of messages.entries()) {
    if (index > 0) parts.push(COMMA);
    parts.push(message);
  }
  parts.push(END);
  return Buffer.concat(parts);
}

/** @throws {ProtocolViolation} it is no frame; shows nothing of what it holds */
export function decodeFrame(bytes: Uint8Array): Frame {
  const body = fieldsOf(bytes);
  const { hello, welcome, bye, messages } = body;
  if (hello !== undefined) return { kind: "hello", greeting: greetingOf(hello) };
  if (welcome !== undefined) return { kind: "welcome", greeting: greetingOf(welcome) };
  if (bye !== undefined) {
    const { ack } = objectOf(bye);
    return { kind: "bye", ack: ack === undefined ? null : count(ack) };
  }
  const ack = count(body["ack"]);
  const asks = body["asks"] === true;
  if (messages === undefined) {
    const sent = body["sent"] === undefined ? null : count(body["sent"]);
    return { kind: "ack", ack, asks, sent };
  }
  if (!Array.isArray(messages)) throw new ProtocolViolation("messages that are none");
  return { kind: "data", seq: count(body["seq"]), ack, asks, messages: messages.map(readWireMessage) };
}

function fieldsOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    // Its message quotes what could not be read.
    throw new ProtocolViolation("a frame that is no JSON");
  }
  return objectOf(body);
}

function greetingOf(value: unknown): Greeting {
  const { version, address, link } = objectOf(value);
  if (version !== PROTOCOL_VERSION)
    throw new ProtocolViolation(`another protocol version, this is ${PROTOCOL_VERSION}`, { isVersion: true });
  if (typeof address !== "string" || typeof link !== "string")
    throw new ProtocolViolation("a greeting without a name");
  return { address, link };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ProtocolViolation("a frame of another shape");
  return value as Readonly<Record<string, unknown>>;
}

function count(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new ProtocolViolation("a count that is none");
  return value;
}
