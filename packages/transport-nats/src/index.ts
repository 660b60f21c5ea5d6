// @holdfast/transport-nats: messages between members over NATS.

import type { TransportAdapter } from "@holdfast/core/adapter";
import { NatsTransport } from "./nats-transport.ts";
import { optionsFromUrl } from "./options-url.ts";
import { checkOptions, type NatsOptions } from "./options.ts";

export type { NatsOptions, NatsTls } from "./options.ts";

/**
 * Carries messages between members over NATS: a subject for each member, and what is sent in one turn in one message.
 *
 * @throws {ConfigError} an option is out of range, or names a file that cannot be read
 */
export function nats(options: NatsOptions = {}): TransportAdapter {
  const settings = checkOptions(options);
  return { kind: "transport", open: ({ random }) => Promise.resolve(new NatsTransport(settings, random)) };
}

/** What `transport: "nats://..."` means. @throws {ConfigError} */
export function transportFromUrl(url: string): TransportAdapter {
  return nats(optionsFromUrl(url));
}
