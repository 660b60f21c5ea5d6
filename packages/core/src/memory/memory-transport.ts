import type { Clock } from "../adapter/clock.ts";
import type { TransportAdapter } from "../adapter/storage-adapter.ts";
import type { Transport, TransportListener } from "../adapter/transport.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { MemoryNetwork, type MemoryMember } from "./memory-network.ts";

/** A Transport between members of one process. Messages are handed over as they are, uncopied: they never change. */
export class MemoryTransport implements Transport {
  readonly #network: MemoryNetwork;
  readonly #address: string | null;
  readonly #clock: Clock;
  #member: MemoryMember | null = null;

  /** @param address null: one that no other member of the network has */
  constructor(network: MemoryNetwork, address: string | null, clock: Clock) {
    this.#network = network;
    this.#address = address;
    this.#clock = clock;
  }

  async start(listener: TransportListener): Promise<string> {
    this.#member = this.#network.join(this.#address, listener, this.#clock);
    return this.#member.address;
  }

  /** Does nothing before `start` and after `close`. */
  send(to: string, message: WireMessage): void {
    this.#member?.send(to, message);
  }

  /** Nothing is queued on this side: what was sent is on the network already, and arrives. */
  async close(_timeoutMs: number): Promise<void> {
    this.#member?.leave();
    this.#member = null;
  }
}

/**
 * A transport for runners in one process that share `network`, or the object itself: each `open` makes one more member.
 *
 * @param options.address where the member listens, for who opens it once. Default: a free one for each
 */
export function memoryTransport(
  network: MemoryNetwork = new MemoryNetwork(),
  options: { readonly address?: string } = {},
): TransportAdapter {
  return {
    kind: "transport",
    open: async ({ clock }) => new MemoryTransport(network, options.address ?? null, clock),
  };
}
