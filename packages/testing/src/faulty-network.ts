// Faulty network: decides of each message between members whether, when and how often it arrives.

import type { Clock, WireMessage } from "@holdfast/core/adapter";
import type { MemoryNetwork } from "@holdfast/core/internal";
import type { Faults } from "./faults.ts";
import type { ProcessGate } from "./process-gate.ts";
import type { Tracer } from "./trace.ts";

export class FaultyNetwork {
  readonly #network: MemoryNetwork;
  /** Directed pairs of addresses between which nothing arrives. */
  readonly #cut = new Set<string>();
  readonly #gates = new Map<string, ProcessGate>();

  constructor(network: MemoryNetwork, faults: Faults, clock: Clock, trace: Tracer = () => undefined) {
    this.#network = network;
    const carry = (from: string, to: string, message: WireMessage, deliver: () => void): void => {
      const copies = faults.dropsMessage() ? 0 : faults.duplicatesMessage() ? 2 : 1;
      if (copies === 0)
        trace({ at: clock.now(), type: "message", from, to, ...describe(message), copies, delayMs: 0 });
      for (let copy = 0; copy < copies; copy += 1) {
        const arrive = (): void => {
          // What was under way when the network was cut is lost, too.
          if (!this.#cut.has(pair(from, to))) this.#throughGate(to, pair(from, to), deliver);
        };
        const delayMs = faults.messageDelayMs();
        trace({ at: clock.now(), type: "message", from, to, ...describe(message), copies, delayMs });
        if (delayMs === 0) arrive();
        else clock.setTimer(delayMs, arrive);
      }
    };
    network.conduct = (from, to, message, deliver) =>
      this.#throughGate(from, pair(from, to), () => carry(from, to, message, deliver));
  }

  /** What comes for this address, or leaves it, passes this gate from now on. */
  join(address: string, gate: ProcessGate): void {
    this.#gates.set(address, gate);
  }

  /** The process at this address is dead: what is sent there comes back as undelivered. */
  leave(address: string): void {
    this.#gates.delete(address);
  }

  /** Cuts every connection between the two sides, both ways. Their members notice as with a broken connection. */
  partition(one: readonly string[], other: readonly string[]): void {
    this.cut(one, other);
    this.cut(other, one);
    for (const a of one) for (const b of other) this.#network.disconnect(a, b);
  }

  /** Loses all that `from` sends to `to`, and tells nobody. */
  cut(from: readonly string[], to: readonly string[]): void {
    for (const a of from) for (const b of to) this.#cut.add(pair(a, b));
  }

  heal(): void {
    this.#cut.clear();
  }

  /** The messages of a pair keep their order: a stopped process's connections are read, each from its beginning. */
  #throughGate(address: string, lane: string, act: () => void): void {
    const gate = this.#gates.get(address);
    if (gate === undefined) act();
    else gate.soon(act, lane);
  }
}

function describe(message: WireMessage): { readonly message: string; readonly requestId: string | null } {
  switch (message.type) {
    case "request":
      return {
        message: `${message.envelope.address.entityType}.${message.envelope.tag}`,
        requestId: message.envelope.requestId,
      };
    case "reply":
      return { message: "reply", requestId: message.reply.requestId };
    case "chunk":
      return { message: "chunk", requestId: message.chunk.requestId };
    default:
      return { message: message.type, requestId: "requestId" in message ? message.requestId : null };
  }
}

function pair(from: string, to: string): string {
  return `${from} > ${to}`;
}
