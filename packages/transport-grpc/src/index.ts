// @holdfast/transport-grpc: messages between members over gRPC.

import type { TransportAdapter } from "@holdfast/core/adapter";
import { GrpcTransport } from "./grpc-transport.ts";
import { checkOptions, optionsFromUrl, type GrpcOptions } from "./options.ts";

export type { GrpcOptions, GrpcTls } from "./options.ts";

/**
 * Carries messages between members over gRPC: one stream between each two, opened when the first has something to say.
 *
 * @throws {ConfigError} an option is out of range
 */
export function grpc(options: GrpcOptions = {}): TransportAdapter {
  const settings = checkOptions(options);
  return { kind: "transport", open: ({ random }) => Promise.resolve(new GrpcTransport(settings, random)) };
}

/** What `transport: "grpc://..."` means. @throws {ConfigError} */
export function transportFromUrl(url: string): TransportAdapter {
  return grpc(optionsFromUrl(url));
}
