// PersistedAdmission: gives a persisted request its place in a mailbox and has it stored, or leaves it to storage alone. What is
// known already is for joining.ts.
//
// A1 to A4 are in admission.ts.

import type { SaveRequestResult } from "../adapter/message-storage.ts";
import { isPlainText } from "../contract/key.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import { isJoining, isPatient } from "../data/envelope.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError, isNotWritten, PersistenceError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import type { Activations } from "./activations.ts";
import { refuse, refuseFull, type Arrival, type Destination } from "./arrival.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import { Joining, type JoiningOptions } from "./joining.ts";
import { KeysBeingStored } from "./keys-being-stored.ts";
import { ACCEPTED_BEFORE, OUT_OF_REACH } from "./rejection.ts";

export interface PersistedAdmissionOptions extends JoiningOptions {
  readonly activations: Activations;
  /** Whether an rpc's handlers are brief (brief-rpcs.ts). */
  readonly isBrief: (behavior: EntityBehavior, rpc: AnyRpc) => boolean;
  /** Lets a request leave memory. */
  readonly forget: (request: HostedRequest, activation: Activation) => void;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  /** Resolves when a read of this shard's pending requests that began after this call is done, or cannot be. */
  readonly read: (shardId: ShardId) => Promise<void>;
  /** Something falls due at this wall time. */
  readonly noteDue: (at: number) => void;
}

export class PersistedAdmission {
  readonly #options: PersistedAdmissionOptions;
  readonly #beingStored = new KeysBeingStored();
  readonly #joining: Joining;

  constructor(options: PersistedAdmissionOptions) {
    this.#options = options;
    this.#joining = new Joining(options, this.#beingStored);
  }

  async receive(request: HostedRequest, arrival: Arrival, destination: Destination): Promise<void> {
    const { shard, behavior } = destination;
    const { envelope, peer, answer } = arrival;
    // What a handler on this shard waits for must be in memory when the shard is given up (shard-departure.ts).
    const isWaitedFor = arrival.isNested && envelope.expects !== "acceptance";
    if (
      envelope.readPendingFirst ||
      (isWaitedFor && shard.isServing && shard.isUnreadFor(envelope.address))
    ) {
      arrival.isFirst = false;
      // If the read fails, the shard stays unread, and the request is only stored (A2).
      shard.markUnread();
      await this.#options.read(envelope.address.shardId);
      if (this.#options.admittingShard(arrival) !== shard)
        return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
      if (arrival.hasLeft && !envelope.uninterruptible) return;
    }
    const known = this.#options.requests.get(request.id);
    if (known !== undefined && (known.isAccepted || known.storing !== null))
      return void (await this.#joining.join(arrival, request.id, answer));
    if (isJoining(envelope)) return this.#joining.byKey(arrival, shard);
    const isLater = envelope.deliverAt !== null && envelope.deliverAt > this.#options.clock.now();
    const { address, tag } = envelope;
    const resident = this.#options.activations.resident(shard, behavior, address, tag);
    if (resident !== undefined && (resident.isBacklogged || resident.isFull)) {
      return envelope.deduplicationKey === null
        ? void refuseFull(arrival, resident, this.#options.counters)
        : this.#joining.withoutRoom(arrival, shard, resident);
    }
    // What is only stored brings no entity into memory.
    const isOnlyStored = known !== undefined || isLater || shard.isUnreadFor(address);
    const straight = isOnlyStored
      ? null
      : (resident ?? this.#options.activations.activate(shard, behavior, address, tag));
    const { shardId } = shard.fence;
    const waiter = { peer, requestId: request.id, shardId, answer, isPatient: isPatient(envelope) };
    if (straight !== null && this.#mayRunAhead(arrival, destination, straight)) {
      request.attempts = 1;
      request.attemptIsRecorded = true;
      this.#options.requests.set(request.id, request);
      this.#options.waiters.add(request.id, waiter);
      return straight.admit(request);
    }
    if (straight !== null) {
      // Its place in the mailbox is taken now and its acceptance awaited after, so that nothing overtakes it (M3).
      request.attemptIsRecorded = straight.startsAtOnce;
      request.attempts = request.attemptIsRecorded ? 1 : 0;
      request.isFirst = arrival.isFirst;
      this.#options.requests.set(request.id, request);
      straight.mailbox.push(request);
    }
    if (envelope.expects !== "acceptance" && !arrival.hasLeft) this.#options.waiters.add(request.id, waiter);
    let isThere = false;
    try {
      const save = (): Promise<SaveRequestResult> =>
        this.#beingStored.until(envelope, () =>
          this.#options.messages.saveRequest(envelope, request.attempts, shard.fence),
        );
      const saving = straight !== null || isLater ? save() : shard.store(save);
      if (request.attemptIsRecorded) request.accepting = saving;
      const saved = await saving;
      if (saved.outcome === "duplicate") {
        isThere = true;
        if (straight !== null) this.#withdraw(request, straight, shard);
        this.#options.waiters.remove(request.id, waiter);
        if (this.#options.admittingShard(arrival) !== shard)
          return void refuse(arrival, "NOT_ASSIGNED", ACCEPTED_BEFORE);
        return await this.#joining.joinStored(arrival, shard, saved.existing);
      }
      this.#options.counters.accepted += 1;
      if (envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
      if (isLater && envelope.deliverAt !== null) return this.#options.noteDue(envelope.deliverAt);
      if (straight === null) return this.#options.wake(address.shardId);
      request.sequence = saved.sequence;
      request.isAccepted = true;
      // Put back meanwhile, with what was in front of it: it is read in its turn.
      if (this.#options.requests.get(request.id) !== request) {
        shard.markUnreadFor(address);
        return this.#options.wake();
      }
      request.isNew = request.attemptIsRecorded;
      // While it was stored the shard may have been drained: then the mailbox was emptied, and it waits in storage.
      straight.pump();
    } catch (error) {
      if (straight !== null) this.#withdraw(request, straight, shard);
      this.#options.waiters.remove(request.id, waiter);
      if (error instanceof FencedError) {
        this.#options.fenced(shard.fence.shardId);
        return void refuse(arrival, "NOT_ASSIGNED", "the shard was claimed by another runner");
      }
      // Its outcome may be unknown: it may wait in storage now, where only a read finds it.
      this.#options.wake();
      const detail = error instanceof PersistenceError ? error.detail : "the storage failed";
      refuse(arrival, "PERSISTENCE", !isThere && isNotWritten(error) ? OUT_OF_REACH : detail);
    }
  }

  /** Whether its handler may begin before it is stored (A4). */
  #mayRunAhead(
    { envelope, isFirst, hasLeft, peer }: Arrival,
    { shard, behavior, rpc }: Destination,
    { isFree }: Activation,
  ): boolean {
    const { requestId, expects, deduplicationKey, address } = envelope;
    return (
      behavior.mayRunAhead === true &&
      isFirst &&
      isFree &&
      !hasLeft &&
      expects === "reply" &&
      deduplicationKey === null &&
      this.#options.isBrief(behavior, rpc) &&
      (peer === HERE || requestId >= shard.firstId) &&
      // Nothing runs of what storage cannot take.
      isPlainText(address.entityId)
    );
  }

  /**
   * A request that went straight to its mailbox has no right to its place: storage may have it from before, where what
   * came behind it here was accepted after it. So that is put back, too, and all of it is read again in order (A2).
   */
  #withdraw(request: HostedRequest, activation: Activation, shard: HostedShard): void {
    shard.takeAttempt(request.id);
    const behind = activation.mailbox.emptyAfter(request);
    for (const other of behind) {
      if (!other.envelope.persisted) {
        activation.mailbox.push(other);
        continue;
      }
      if (this.#options.requests.get(other.id) === other) this.#options.requests.delete(other.id);
      if (other.attemptIsRecorded && other.isFirst) shard.keepAttempt(other.id);
    }
    shard.holdBack(activation.address);
    this.#options.forget(request, activation);
    if (behind.length > 0) this.#options.wake();
  }
}
