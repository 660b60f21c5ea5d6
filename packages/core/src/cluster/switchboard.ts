// Switchboard: gives each message that comes in, from a peer or from this process, to the part that it is for.

import type { Transport } from "../adapter/transport.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { inPlaceOf } from "../entity/answers.ts";
import type { Delivery } from "../entity/delivery.ts";
import type { EntityHost } from "../entity/entity-host.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";
import type { PeerHealth } from "../sharding/peer-health.ts";

export interface SwitchboardParts {
  readonly host: EntityHost;
  readonly delivery: Delivery;
  readonly peers: PeerHealth;
  readonly transport: Transport;
}

export interface SwitchboardOptions {
  /** Null before the member is open and after it closed: what comes then is dropped. */
  readonly parts: () => SwitchboardParts | null;
  /** Shards were freed by their last owner. */
  readonly released: (shardIds: readonly ShardId[]) => void;
}

export class Switchboard {
  readonly #options: SwitchboardOptions;

  constructor(options: SwitchboardOptions) {
    this.#options = options;
  }

  /** A message of a peer. `from` is where answers go. */
  receive(from: string, message: WireMessage): void {
    const parts = this.#options.parts();
    if (parts === null) return;
    switch (message.type) {
      case "request":
        return parts.host.receive(message, from, (answer) => this.#answer(from, answer));
      case "interrupt":
        return parts.host.interrupt(message.requestId, "its caller left");
      case "acknowledge":
        return parts.host.acknowledge(message.requestId, message.upTo);
      case "probe":
        return this.#answer(from, {
          type: "known",
          requestId: message.requestId,
          known: parts.host.knows(message.requestId),
        });
      case "wake":
        return parts.host.wake();
      case "released":
        return this.#options.released(message.shardIds);
      case "ping":
        parts.peers.pinged(message.nonce);
        return this.#answer(from, { type: "pong", nonce: message.nonce });
      case "pong":
        return parts.peers.pong(message.nonce);
      default:
        return parts.delivery.receive(message);
    }
  }

  /** A message of this very process. */
  receiveHere(message: WireMessage): void {
    const parts = this.#options.parts();
    if (parts === null) return;
    if (message.type === "request") parts.host.receive(message, HERE, this.#answerHere);
    else this.receive(HERE, message);
  }

  /** One for all requests of this process. */
  readonly #answerHere = (message: WireMessage): void => this.#answer(HERE, message);

  #answer(to: string, message: WireMessage): void {
    const parts = this.#options.parts();
    if (parts === null) return;
    if (to === HERE) return parts.delivery.receive(message);
    try {
      parts.transport.send(to, message);
    } catch (error) {
      if (!(error instanceof PayloadTooLargeError)) throw error;
      const instead = inPlaceOf(message, error);
      if (instead !== null) parts.transport.send(to, instead);
    }
  }
}
