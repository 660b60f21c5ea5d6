// ShardDeparture: how shards leave this runner: drained, in order, or dropped at once.
//
//   L1  From the first moment on nothing more is admitted on them, and nothing more starts. But of a shard that is drained what its
//       own handlers call on it is, and what is in front of that, as long as they run: the shard's next owner waits for them, and
//       they wait for that.
//   L2  Everyone who waits for one of their requests is told that it must be asked for elsewhere, or that it may have run in
//       part.
//   L3  A handler that is cut short when its shard is drained has made no failed attempt, but its first one counts once, and one that
//       did not begin none: as far as storage says within two seconds that it was accepted, and takes the count back. What failed
//       before counts.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import { within } from "../clock/within.ts";
import type { Logger } from "../contract/logger.ts";
import type { BriefMap } from "../data/brief-map.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import type { Activation } from "./activation.ts";
import { movedReply } from "./answers.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { HostedShards } from "./hosted-shards.ts";
import type { Inbox } from "./inbox.ts";
import { ACCEPTED_BEFORE, notHere } from "./rejection.ts";
import type { ReplyWaiters } from "./reply-waiters.ts";

export interface ShardDepartureOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly terminationTimeoutMs: number;
  readonly maxRetries: number;
  readonly behaviors: ReadonlyMap<string, EntityBehavior>;
  /** The shards that are here. One that has left is taken out. */
  readonly shards: HostedShards;
  readonly requests: BriefMap<HostedRequest>;
  readonly waiters: ReplyWaiters;
  readonly inbox: Pick<Inbox, "settled" | "read">;
  /** Tells all who wait for a request, who wait no more. */
  readonly settle: (request: HostedRequest, message: WireMessage) => void;
  readonly evict: (activation: Activation) => Promise<void>;
}

/** How long a shard that drained waits for storage to put its counts of attempts right. */
const LONGEST_CORRECTION_MS = 2_000;
/** How long one with handlers at work waits for what storage has of it. */
const LONGEST_READ_MS = 2_000;

export class ShardDeparture {
  readonly #options: ShardDepartureOptions;

  constructor(options: ShardDepartureOptions) {
    this.#options = options;
  }

  /** Lets a shard go when what runs there has ended, or after the termination time-out. Resolves once it has left. */
  async drain(shardId: ShardId): Promise<void> {
    const shard = this.#options.shards.get(shardId);
    if (shard === undefined) return;
    // Of what is not known to be all here, nothing that a handler calls could be taken (INV-4).
    if (shard.isUnread && isAtWork(shard)) {
      await within(this.#options.clock, this.#options.inbox.read(shardId), LONGEST_READ_MS);
      if (this.#options.shards.get(shardId) !== shard) return;
    }
    const mayCall = isAtWork(shard);
    const activations = [...shard.activations.values()];
    const waiting = activations.flatMap(({ behavior, mailbox }) =>
      // An execution leaves as soon as its shard is about to: it would begin in vain.
      mayCall && behavior.keepsNothing !== true
        ? mailbox.emptyBehind(({ isNested }) => isNested)
        : mailbox.empty(),
    );
    shard.windDown(waiting);
    const uncounted = this.#putBack(waiting, shard);
    shard.leaving.abort(new Error("the shard moves to another runner"));
    await this.#letEnd(shard);
    await uncounted;
    if (this.#options.shards.get(shardId) !== shard) return;
    const evicted = Promise.all(
      [...shard.activations.values()].map((activation) => this.#options.evict(activation)),
    );
    if (!(await within(this.#options.clock, evicted, this.#options.terminationTimeoutMs))) {
      this.#options.logger.warn("A shard moves although onEvict callbacks are still at work", { shardId });
      // Before the next owner can have it: what is left behind is told by the entity's signal not to write any more.
      for (const activation of shard.activations.values()) activation.leave();
    }
    // Where many entities leave, the lease is refreshed and peers are answered before the next shards' do (hand-over.ts).
    if (shard.activations.size > 0) await this.#options.clock.nextTurn();
    if (this.#options.shards.get(shardId) !== shard) return;
    this.#options.shards.delete(shardId);
    this.#releaseWaiters([shardId]);
  }

  /** Lets shards go at this very moment: another runner may have them already. */
  drop(shardIds: readonly ShardId[], reason: string): void {
    const shards = shardIds.flatMap((shardId) => this.#options.shards.get(shardId) ?? []);
    // All stop before any is cleaned up.
    for (const shard of shards) shard.stop();
    for (const shard of shards) {
      this.#options.shards.delete(shard.fence.shardId);
      shard.leaving.abort(new Error(reason));
      for (const activation of shard.activations.values()) {
        for (const request of activation.close()) this.#release(request, reason);
        for (const request of activation.running) {
          request.end("moved", reason);
          this.#release(request, reason);
        }
        activation.abort(reason);
        void this.#options.evict(activation);
      }
    }
    this.#releaseWaiters(shardIds);
  }

  /** What has not begun is left to the shard's next owner. Resolves when its counts of attempts are right. */
  #putBack(waiting: readonly HostedRequest[], shard: HostedShard): Promise<void> {
    for (const request of waiting) this.#release(request, "its shard moves to another runner");
    const counted = waiting.filter(({ attemptIsRecorded }) => attemptIsRecorded);
    return this.#uncount(counted, shard, () => 0);
  }

  /** What runs was told to end; waits until it has, and what it waits for, then aborts it, then leaves it behind. */
  async #letEnd(shard: HostedShard): Promise<void> {
    const { clock, terminationTimeoutMs } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(terminationTimeoutMs, resolve);
      shard.whenQuiet(() => {
        timer.cancel();
        resolve();
      });
    });
    shard.stop();
    const activations = [...shard.activations.values()];
    const uncounted = this.#putBack(
      activations.flatMap((activation) => activation.close()),
      shard,
    );
    const left = activations
      .flatMap((activation) => [...activation.running])
      .filter((request) => this.#options.requests.get(request.id) === request);
    for (const request of left) {
      request.end("moved", "the shard moves to another runner");
      this.#release(request, "its shard moves to another runner");
    }
    const cut = left.filter(({ envelope }) => envelope.persisted);
    // Who handles it again is to know that it may have been done before, where that leaves it an attempt that may fail.
    const least = this.#options.maxRetries > 1 ? 1 : 0;
    await this.#uncount(cut, shard, ({ envelope }) =>
      this.#options.behaviors.get(envelope.address.entityType)?.countsCutAttempt === true ? 1 : least,
    );
    await uncounted;
  }

  /** Takes back that an attempt was counted which has not failed, down to what counts all the same (L3). */
  async #uncount(
    requests: readonly HostedRequest[],
    { fence }: HostedShard,
    least: (request: HostedRequest) => number,
  ): Promise<void> {
    if (requests.length === 0) return;
    const { messages, clock } = this.#options;
    const corrected = requests.map(async (request) => {
      const accepted = await request.accepting;
      // It is another acceptance's, and may have been begun under that.
      if (accepted?.outcome === "duplicate") return;
      // A write that stores what ran ahead, or records an attempt that did not begin, is on its way before this one.
      const { attemptIsRecorded, isUnderWay } = request;
      const attempts =
        attemptIsRecorded || isUnderWay ? Math.max(least(request), request.attempts - 1) : request.attempts;
      await messages.reschedule(request.id, { deliverAt: null, attempts }, fence);
    });
    await within(clock, Promise.allSettled(corrected), LONGEST_CORRECTION_MS);
  }

  /** A request leaves memory unanswered (L2): those who wait ask elsewhere, or learn that it may have run in part. */
  #release(request: HostedRequest, reason: string): void {
    this.#options.requests.delete(request.id);
    this.#options.inbox.settled(request.envelope);
    const { persisted } = request.envelope;
    if (persisted || !request.isRunning) {
      return this.#options.settle(request, notHere(request.id, persisted ? ACCEPTED_BEFORE : reason));
    }
    this.#options.settle(request, { type: "reply", reply: movedReply(request.envelope, reason) });
  }

  /** Who waits for what is with storage, suspended or due later, asks the shard's next owner. */
  #releaseWaiters(shardIds: readonly ShardId[]): void {
    this.#options.waiters.settleShards(new Set(shardIds), (requestId) => notHere(requestId, ACCEPTED_BEFORE));
  }
}

/** Whether handlers run on it. */
function isAtWork({ activations }: HostedShard): boolean {
  return [...activations.values()].some(({ running }) => running.length > 0);
}
