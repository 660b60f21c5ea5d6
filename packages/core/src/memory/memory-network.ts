// MemoryNetwork: carries messages between the members of one process.
//
// Knows addresses and nothing of what the messages say. Loses, repeats and delays nothing by itself: a `conduct` does,
// for tests.
//
//   N1  A listener is never called from within a call of its own or of another member: always from a later microtask.
//   N2  Events of one member are handed over in the order in which they came to it.
//   N3  What is on its way to a member that closes comes back to its sender as undelivered; nothing is handed to a
//       successor at the same address.
//   N4  Of one message either a copy arrives or its sender is told that it did not, and never both.

import type { Clock } from "../adapter/clock.ts";
import type { TransportListener } from "../adapter/transport.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { ConfigError } from "../errors/config.ts";

/**
 * What the network does with one message: calls `deliver` to let it arrive, now or later, any number of times, or
 * `refuse` to tell the sender that it did not. A message that gets neither is lost.
 */
export type NetworkConduct = (
  from: string,
  to: string,
  message: WireMessage,
  deliver: () => void,
  refuse: () => void,
) => void;

/** After so many batches without one, a turn of the event loop is let pass: microtasks alone would hold up its timers. */
const BATCHES_PER_TURN = 256;

/** The platform's own, also after a test's framework exchanged it for one that waits to be told: jest.useFakeTimers() does. */
const soon = queueMicrotask;

export class MemoryNetwork {
  readonly #members = new Map<string, MemoryMember>();
  #named = 0;
  /** Null: every message arrives, once, at once. May be exchanged at any time. */
  conduct: NetworkConduct | null;

  constructor(conduct: NetworkConduct | null = null) {
    this.conduct = conduct;
  }

  /** @throws {ConfigError} another member listens at this address */
  join(address: string | null, listener: TransportListener, clock: Clock): MemoryMember {
    if (address !== null && this.#members.has(address)) {
      throw new ConfigError({
        option: "address",
        got: address,
        takes: "an address at which no other member listens",
      });
    }
    const member = new MemoryMember(address ?? this.#freeAddress(), this, listener, clock);
    this.#members.set(member.address, member);
    return member;
  }

  memberAt(address: string): MemoryMember | undefined {
    return this.#members.get(address);
  }

  /** Ends the connection of two members: each is told that the other is gone. They may send again at once. */
  disconnect(address: string, peer: string): void {
    this.#members.get(address)?.lose(peer);
    this.#members.get(peer)?.lose(address);
  }

  /** Takes a member off the network. Its peers are told. */
  leave(member: MemoryMember): void {
    if (this.#members.get(member.address) === member) this.#members.delete(member.address);
  }

  #freeAddress(): string {
    for (;;) {
      this.#named += 1;
      const address = `memory://${this.#named}`;
      if (!this.#members.has(address)) return address;
    }
  }
}

type Event =
  | {
      readonly type: "message";
      readonly from: MemoryMember;
      readonly message: WireMessage;
      readonly fate: Fate;
    }
  | { readonly type: "undelivered"; readonly to: string; readonly message: WireMessage }
  | { readonly type: "disconnected"; readonly peer: string };

/** What became of a message, of all its copies. */
interface Fate {
  hasArrived: boolean;
  isUndelivered: boolean;
}

/** One member's place on the network: what came for it and was not handed over yet. */
export class MemoryMember {
  readonly address: string;
  readonly #network: MemoryNetwork;
  readonly #listener: TransportListener;
  readonly #clock: Clock;
  readonly #peers = new Set<string>();
  #inbox: Event[] = [];
  #handOverIsDue = false;
  #batches = 0;
  #left = false;

  constructor(address: string, network: MemoryNetwork, listener: TransportListener, clock: Clock) {
    this.address = address;
    this.#network = network;
    this.#listener = listener;
    this.#clock = clock;
  }

  send(to: string, message: WireMessage): void {
    const { conduct } = this.#network;
    const target = this.#network.memberAt(to);
    const fate: Fate = { hasArrived: false, isUndelivered: false };
    if (conduct === null) {
      this.#deliver(to, target, message, fate);
    } else {
      conduct(
        this.address,
        to,
        message,
        () => this.#deliver(to, target, message, fate),
        () => this.#bringBack(to, message, fate),
      );
    }
  }

  /** Adds an event and sees to it that it is handed over. After leaving it is dropped. */
  take(event: Event): void {
    if (this.#left) return;
    if (event.type === "message") this.#peers.add(event.from.address);
    this.#inbox.push(event);
    if (this.#handOverIsDue) return;
    this.#handOverIsDue = true;
    this.#batches += 1;
    if (this.#batches < BATCHES_PER_TURN) {
      soon(this.#handOver);
    } else {
      this.#batches = 0;
      this.#clock.afterTurn(this.#handOver);
    }
  }

  /** The connection to `peer` is over. Nothing happens if there was none. */
  lose(peer: string): void {
    if (this.#peers.delete(peer)) this.take({ type: "disconnected", peer });
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#network.leave(this);
    for (const event of this.#inbox) {
      if (event.type === "message") event.from.#bringBack(this.address, event.message, event.fate);
    }
    this.#inbox = [];
    for (const peer of this.#peers) this.#network.memberAt(peer)?.lose(this.address);
  }

  #deliver(to: string, target: MemoryMember | undefined, message: WireMessage, fate: Fate): void {
    if (target === undefined || target.#left) return this.#bringBack(to, message, fate);
    this.#peers.add(to);
    target.take({ type: "message", from: this, message, fate });
  }

  #bringBack(to: string, message: WireMessage, fate: Fate): void {
    if (fate.hasArrived || fate.isUndelivered) return;
    fate.isUndelivered = true;
    this.take({ type: "undelivered", to, message });
  }

  readonly #handOver = (): void => {
    const events = this.#inbox;
    this.#inbox = [];
    // From here on what comes is the next batch's, in a later microtask.
    this.#handOverIsDue = false;
    for (const event of events) {
      // The listener may close the transport half way.
      if (this.#left) return;
      if (event.type === "message") {
        if (event.fate.isUndelivered) continue;
        event.fate.hasArrived = true;
        this.#listener.receive(event.from.address, event.message);
      } else if (event.type === "undelivered") this.#listener.undelivered(event.to, event.message);
      else this.#listener.disconnected(event.peer);
    }
  };
}
