// ReplyWaiters: who waits at this runner for which persisted request's reply.
//
// Any number may wait for one request: its sender, senders of duplicates, the same sender after a reconnect. A waiter is
// a peer, the id under which it asked, and the way to it; what it is sent is a wire message, also in this very process.
//
// Not all that is waited for is in memory: a suspended or scheduled request is with storage. Its waiters, too, leave with
// the shard, or they would wait for ever at a runner that will never hear of the reply. Shards leave one by one, of hundreds, and
// each looks at its own alone.

import { BriefMap } from "../data/brief-map.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";

/** Gives a message to who waits. Never throws. One in this process may send again at once, so nothing may be half done. */
export type Answer = (message: WireMessage) => void;

/** Who asked, and under which id: not the id of the request waited for when that is a duplicate's first. */
export interface Asking {
  readonly peer: string;
  readonly requestId: string;
  /** The shard of the entity that was asked. */
  readonly shardId: ShardId;
}

export interface Waiter extends Asking {
  readonly answer: Answer;
  /** Of who joined: whether what it waits for is not to be interrupted, by whoever leaves. */
  readonly isUninterruptible?: boolean;
  /** Whether it waits on where others are told that it is in vain for now. */
  readonly isPatient?: boolean;
}

export class ReplyWaiters {
  readonly #byRequest = new BriefMap<Waiter[]>();
  /** The requests that are waited for, by the shards of those who wait. */
  readonly #byShard = new Map<ShardId, BriefMap<true>>();
  /** Of those who asked under another id than that of the request that they wait for. */
  readonly #awaited = new Map<string, string>();

  /** Whoever asks again under the same id waits once, by the newer way. */
  add(requestId: string, waiter: Waiter): void {
    if (waiter.requestId !== requestId) this.#awaited.set(waiter.requestId, requestId);
    this.#ofShard(waiter.shardId).set(requestId, true);
    const waiters = this.#byRequest.get(requestId);
    if (waiters === undefined) {
      this.#byRequest.set(requestId, [waiter]);
      return;
    }
    const index = waiters.findIndex((other) => isSame(other, waiter));
    if (index === -1) waiters.push(waiter);
    else waiters[index] = waiter;
  }

  remove(requestId: string, asking: Asking): void {
    this.#keep(requestId, (waiter) => !isSame(waiter, asking));
  }

  /** Whoever asked under this id waits no more. @returns the id of the request that it waited for */
  leave(askedId: string): string {
    const requestId = this.#awaited.get(askedId) ?? askedId;
    this.#keep(requestId, (waiter) => waiter.requestId !== askedId);
    return requestId;
  }

  has(requestId: string): boolean {
    return this.#byRequest.has(requestId);
  }

  /** Whether somebody waits who asked under this id. */
  isWaiting(askedId: string): boolean {
    const waiters = this.#byRequest.get(this.#awaited.get(askedId) ?? askedId);
    return waiters?.some(({ requestId }) => requestId === askedId) === true;
  }

  /** Whether somebody waits for it who wants it not interrupted. */
  isProtected(requestId: string): boolean {
    return this.#byRequest.get(requestId)?.some(({ isUninterruptible }) => isUninterruptible) === true;
  }

  /** The request for which somebody waits who asked under this id, if that is another. */
  awaitedBy(askedId: string): string | undefined {
    return this.#awaited.get(askedId);
  }

  /** Tells all who wait, who go on waiting. */
  tell(requestId: string, message: WireMessage): void {
    for (const waiter of this.#byRequest.get(requestId) ?? []) waiter.answer(message);
  }

  /** Tells all who wait, who wait no more. */
  settle(requestId: string, message: WireMessage): void {
    const waiters = this.#byRequest.get(requestId);
    if (waiters === undefined) return;
    this.#byRequest.delete(requestId);
    for (const { shardId } of waiters) this.#byShard.get(shardId)?.delete(requestId);
    if (this.#awaited.size > 0) for (const waiter of waiters) this.#awaited.delete(waiter.requestId);
    for (const waiter of waiters) waiter.answer(message);
  }

  /** Tells all who wait and are not patient, who wait no more. */
  disappoint(requestId: string, message: WireMessage): void {
    const told = this.#byRequest.get(requestId)?.filter(({ isPatient }) => isPatient !== true) ?? [];
    this.#keep(requestId, (waiter) => !told.includes(waiter));
    for (const waiter of told) waiter.answer(message);
  }

  /** Tells all who wait for requests of these shards, who wait no more. */
  settleShards(shardIds: ReadonlySet<ShardId>, messageFor: (requestId: string) => WireMessage): void {
    for (const shardId of shardIds) {
      const requests = this.#byShard.get(shardId);
      this.#byShard.delete(shardId);
      for (const requestId of requests?.keys() ?? []) this.settle(requestId, messageFor(requestId));
    }
  }

  /** The requests for which nobody waits any more now that this peer is gone. */
  forgetPeer(peer: string): readonly string[] {
    const abandoned: string[] = [];
    for (const requestId of this.#byRequest.keys()) {
      this.#keep(requestId, (waiter) => waiter.peer !== peer);
      if (!this.#byRequest.has(requestId)) abandoned.push(requestId);
    }
    return abandoned;
  }

  #ofShard(shardId: ShardId): BriefMap<true> {
    let requests = this.#byShard.get(shardId);
    if (requests === undefined) {
      requests = new BriefMap();
      this.#byShard.set(shardId, requests);
    }
    return requests;
  }

  #keep(requestId: string, stays: (waiter: Waiter) => boolean): void {
    const before = this.#byRequest.get(requestId);
    if (before === undefined) return;
    const waiters = before.filter(stays);
    if (waiters.length === before.length) return;
    for (const waiter of before) {
      if (waiters.includes(waiter)) continue;
      this.#awaited.delete(waiter.requestId);
      if (!waiters.some(({ shardId }) => shardId === waiter.shardId))
        this.#byShard.get(waiter.shardId)?.delete(requestId);
    }
    if (waiters.length === 0) this.#byRequest.delete(requestId);
    else this.#byRequest.set(requestId, waiters);
  }
}

function isSame(a: Asking, b: Asking): boolean {
  return a.peer === b.peer && a.requestId === b.requestId;
}
