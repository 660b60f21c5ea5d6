// PeerHealth: which of the other runners answer over the transport, from here.
//
// A view, not a verdict: two members may see the same runner differently. It steers requests around a runner that does not
// answer; it moves no shard, which only the end of a lease does (docs/decisions/0004).
//
//   P1  A runner that is new counts as reachable, also at the address of one that was not.
//   P2  It takes MISSES rounds in a row without an answer to be unreachable, and ANSWERS in a row to be reachable again. One
//       that comes late, to the ping of an earlier round, is an answer: whoever is slow is not out of reach.
//   P3  Rounds that this process slept through count for nothing.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";

const MISSES = 3;
const ANSWERS = 2;
/** An answer to an older ping than this many counts no more. */
const REMEMBERED = 16;

export interface PeerHealthOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How often each runner is asked, in milliseconds. */
  readonly intervalMs: number;
  /** The other runners, now. */
  readonly peers: () => readonly { readonly address: string; readonly runnerId: string }[];
  readonly ping: (address: string, nonce: string) => void;
  readonly changed: (address: string, isReachable: boolean) => void;
  /** Called at each round in which some runner is unreachable. */
  readonly missing: () => void;
}

interface Peer {
  /** Those who say that they are at its address: for a while also one that is gone. */
  runnerIds: ReadonlySet<string>;
  /** The latest pings, those after the last one that it answered. */
  nonces: readonly string[];
  /** Whether it answered since the last round. */
  hasAnswered: boolean;
  misses: number;
  answers: number;
  isReachable: boolean;
}

export class PeerHealth {
  readonly #options: PeerHealthOptions;
  readonly #peers = new Map<string, Peer>();
  /** Pings of this process to itself, and what to do when they come in. */
  readonly #ownPings = new Map<string, () => void>();
  #timer: Timer | undefined;
  #roundDueAt = 0;
  #isStopped = false;

  constructor(options: PeerHealthOptions) {
    this.#options = options;
  }

  start(): void {
    // Not all members of a fleet that starts at once ask in the same moment.
    const { intervalMs, random } = this.#options;
    this.#schedule(intervalMs * (0.5 + 0.5 * random.next()));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#ownPings.clear();
  }

  isReachable(address: string): boolean {
    return this.#peers.get(address)?.isReachable ?? true;
  }

  /** How many other runners are asked. */
  get known(): number {
    return this.#peers.size;
  }

  get unreachable(): readonly string[] {
    return [...this.#peers].flatMap(([address, peer]) => (peer.isReachable ? [] : [address])).toSorted();
  }

  /** The members changed: who is new is known at once, and who left forgotten. */
  renew(): void {
    const idsByAddress = new Map<string, Set<string>>();
    for (const { address, runnerId } of this.#options.peers()) {
      const ids = idsByAddress.get(address);
      if (ids === undefined) idsByAddress.set(address, new Set([runnerId]));
      else ids.add(runnerId);
    }
    for (const address of this.#peers.keys()) if (!idsByAddress.has(address)) this.#peers.delete(address);
    for (const [address, runnerIds] of idsByAddress) {
      const peer = this.#peers.get(address);
      const isKnown = peer !== undefined && [...runnerIds].every((runnerId) => peer.runnerIds.has(runnerId));
      if (isKnown) peer.runnerIds = runnerIds;
      else this.#peers.set(address, newPeer(runnerIds));
    }
  }

  /** A peer answered. */
  pong(nonce: string): void {
    for (const [address, peer] of this.#peers) {
      const answered = peer.nonces.indexOf(nonce);
      if (answered === -1) continue;
      peer.nonces = peer.nonces.slice(answered + 1);
      peer.hasAnswered = true;
      peer.misses = 0;
      peer.answers += 1;
      if (peer.answers >= ANSWERS) this.#set(address, peer, true);
    }
  }

  /** A ping came in. */
  pinged(nonce: string): void {
    this.#ownPings.get(nonce)?.();
  }

  /** Resolves to whether what is sent to this address comes in here, at this very process, within `ms`. */
  async isOwnAddress(address: string, ms: number): Promise<boolean> {
    const nonce = this.#options.random.id();
    try {
      return await new Promise<boolean>((resolve) => {
        const timer = this.#options.clock.setTimer(ms, () => resolve(false));
        this.#ownPings.set(nonce, () => {
          timer.cancel();
          resolve(true);
        });
        this.#options.ping(address, nonce);
      });
    } finally {
      this.#ownPings.delete(nonce);
    }
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#roundDueAt = this.#options.clock.monotonic() + delayMs;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#round();
      this.#schedule(this.#options.intervalMs);
    });
  }

  #round(): void {
    const { clock, random, intervalMs, ping, missing } = this.#options;
    this.renew();
    // Then this process stood still, which says nothing about its peers.
    const isLate = clock.monotonic() - this.#roundDueAt > intervalMs / 2;
    for (const [address, peer] of this.#peers) {
      if (peer.nonces.length > 0 && !peer.hasAnswered && !isLate) {
        peer.answers = 0;
        peer.misses += 1;
        if (peer.misses >= MISSES) this.#set(address, peer, false);
      }
      const nonce = random.id();
      peer.nonces = [...peer.nonces, nonce].slice(-REMEMBERED);
      peer.hasAnswered = false;
      ping(address, nonce);
    }
    if (this.unreachable.length > 0) missing();
  }

  #set(address: string, peer: Peer, isReachable: boolean): void {
    if (peer.isReachable === isReachable) return;
    peer.isReachable = isReachable;
    this.#options.changed(address, isReachable);
  }
}

function newPeer(runnerIds: ReadonlySet<string>): Peer {
  return { runnerIds, nonces: [], hasAnswered: false, misses: 0, answers: 0, isReachable: true };
}
