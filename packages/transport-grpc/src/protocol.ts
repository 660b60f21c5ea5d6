// The protocol's definitions, read from the .proto file of this package.

import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from "@grpc/proto-loader";
import type { ServiceDefinition } from "@grpc/grpc-js";

/** What members of this release say to each other. */
export const PROTOCOL_VERSION = 1;
export const SERVICE_NAME = "holdfast.transport.v1.Transport";
/** What is read at least by who says how much that is. */
export const LEAST_MESSAGE_BYTES = 65_536;
/** What is read by who does not say it: the default of the releases that had no field for it. */
export const UNSAID_MESSAGE_BYTES = 4_259_840;

/** A frame as it is read. Messages are checked one by one (codec.ts). */
export interface Frame {
  readonly hello?: Hello;
  readonly messages: readonly ProtoMessage[];
}

export interface Hello {
  readonly protocolVersion: number;
  readonly address: string;
  readonly instanceId: string;
  /** The largest message that its sender reads. 0: it does not say. */
  readonly maxMessageBytes: number;
}

/** A message as it is read: `kind` names the field that is there. */
export type ProtoMessage = Readonly<Record<string, unknown>> & { readonly kind?: string };

const folder = fileURLToPath(new URL("../proto", import.meta.url));

export const definitions: PackageDefinition = loadSync("holdfast/transport/v1/transport.proto", {
  includeDirs: [folder],
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  oneofs: true,
});

type Codec<Value> = MessageTypeDefinition<Value, Value>;

const frameType = definitions["holdfast.transport.v1.Frame"] as unknown as Codec<Frame>;
export const messageType = definitions["holdfast.transport.v1.Message"] as unknown as Codec<ProtoMessage>;

/** The service, with frames as bytes: this package packs and reads them itself, so that a bad one is its own to count. */
export const service: ServiceDefinition = {
  Connect: {
    path: `/${SERVICE_NAME}/Connect`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
};

export function encodeHello(hello: Hello): Buffer {
  return frameType.serialize({ hello, messages: [] });
}

/** @throws {Error} it is no frame */
export function decodeFrame(bytes: Buffer): Frame {
  return frameType.deserialize(bytes);
}

/** Field 2 of Frame, length-delimited. */
const MESSAGES_TAG = 0x12;

/** How many bytes an encoded message takes in a frame. */
function sizeInFrame(message: Uint8Array): number {
  return 1 + varintSize(message.length) + message.length;
}

/** One frame of messages that were encoded before. */
export function packFrame(messages: readonly Uint8Array[]): Buffer {
  const frame = Buffer.allocUnsafe(messages.reduce((size, message) => size + sizeInFrame(message), 0));
  let at = 0;
  for (const message of messages) {
    frame[at] = MESSAGES_TAG;
    at = writeVarint(frame, message.length, at + 1);
    frame.set(message, at);
    at += message.length;
  }
  return frame;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

function writeVarint(bytes: Buffer, value: number, from: number): number {
  let at = from;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    bytes[at] = (rest % 0x80) | 0x80;
    at += 1;
  }
  bytes[at] = rest;
  return at + 1;
}
