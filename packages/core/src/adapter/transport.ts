import type { WireMessage } from "../data/wire-message.ts";

/** What a transport tells the member that uses it. Never called before `start` was, nor after `close` resolved. */
export interface TransportListener {
  /** A message came. `from` is an address to which `send` answers, at least while the connection lasts. */
  receive(from: string, message: WireMessage): void;
  /** A message that was given to `send` surely did not reach the peer, and will not. */
  undelivered(to: string, message: WireMessage): void;
  /** The connection to a peer is gone: what was sent to it or awaited from it may be lost. */
  disconnected(peer: string): void;
}

/**
 * Carries messages between members, best effort. Between two members messages arrive in the order in which they were
 * sent, or not at all; none arrives twice. Nobody trusts it with delivery: who waits for an answer probes or repeats.
 */
export interface Transport {
  /** Starts listening and returns the address under which others reach this member. @throws {ConfigError} */
  start(listener: TransportListener): Promise<string>;

  /**
   * Sends a message, connecting where necessary. Returns at once, before any listener is called; failure is told by
   * `undelivered` or `disconnected`.
   *
   * @throws {PayloadTooLargeError} the message is larger than the transport carries; it was not sent
   */
  send(to: string, message: WireMessage): void;

  /** Sends what is queued, for as long as that takes but not over `timeoutMs`, and closes every connection. */
  close(timeoutMs: number): Promise<void>;
}
