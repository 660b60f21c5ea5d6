// PersistedAdmission: gives a persisted request its place in a mailbox and has it stored, or leaves it to storage alone, or joins its
// sender to what storage knows already.
//
// A1 to A4 are in admission.ts.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState, SaveRequestResult } from "../adapter/message-storage.ts";
import { encodeError } from "../contract/error-codec.ts";
import { isPlainText } from "../contract/key.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import type { BriefMap } from "../data/brief-map.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import { isJoining, isPatient, type Envelope } from "../data/envelope.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import type { Activations } from "./activations.ts";
import { absent, ACCEPTED_BEFORE, chunksUnread, endOf, failure, OUT_OF_REACH, readdress } from "./answers.ts";
import { refuse, refuseFull, type Arrival, type Destination } from "./arrival.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { KeptChunks } from "./kept-chunks.ts";
import { KeysBeingStored } from "./keys-being-stored.ts";
import { Lanes } from "./lanes.ts";
import type { Answer, ReplyWaiters } from "./reply-waiters.ts";

export interface PersistedAdmissionOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Requests in memory here, by id. */
  readonly requests: BriefMap<HostedRequest>;
  readonly waiters: ReplyWaiters;
  readonly chunks: KeptChunks;
  readonly behaviors: ReadonlyMap<string, EntityBehavior>;
  /** The shard, while this request for it is admitted here. */
  readonly admittingShard: (arrival: Pick<Arrival, "envelope" | "isNested">) => HostedShard | undefined;
  readonly activations: Activations;
  /** Whether an rpc's handlers are brief (brief-rpcs.ts). */
  readonly isBrief: (behavior: EntityBehavior, rpc: AnyRpc) => boolean;
  /** Lets a request leave memory. */
  readonly forget: (request: HostedRequest, activation: Activation) => void;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  /** Has storage's pending requests read. Resolves when a read that began after this call is done. */
  readonly wake: () => Promise<void>;
  /** Something falls due at this wall time. */
  readonly noteDue: (at: number) => void;
}

/** So many look-ups for full mailboxes at a time: the work of all other entities needs storage, too. */
const LOOK_UPS = 4;
/** One that failed after so long met a storage that is silent. What fails at once, as for a lost connection, holds up nobody. */
const SILENCE_MS = 1_000;

export class PersistedAdmission {
  readonly #options: PersistedAdmissionOptions;
  readonly #beingStored = new KeysBeingStored();
  readonly #lookUps = new Lanes(LOOK_UPS);
  /** How many look-ups by key were not answered. */
  #silences = 0;

  constructor(options: PersistedAdmissionOptions) {
    this.#options = options;
  }

  async receive(request: HostedRequest, arrival: Arrival, destination: Destination): Promise<void> {
    const { shard, behavior } = destination;
    const { envelope, peer, answer } = arrival;
    // What a handler on this shard waits for must be in memory when the shard is given up (shard-departure.ts).
    const isWaitedFor = arrival.isNested && envelope.expects !== "acceptance";
    if (envelope.readPendingFirst || (isWaitedFor && shard.isServing && shard.isUnread)) {
      arrival.isFirst = false;
      // If the read fails, the shard stays unread, and the request is only stored (A2).
      shard.markUnread();
      await this.#options.wake();
      if (this.#options.admittingShard(arrival) !== shard)
        return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
      if (arrival.hasLeft && !envelope.uninterruptible) return;
    }
    const known = this.#options.requests.get(request.id);
    if (known !== undefined && (known.isAccepted || known.storing !== null))
      return void (await this.#join(arrival, request.id, answer));
    if (isJoining(envelope)) return this.#joinByKey(arrival, shard, () => this.#answerAbsent(arrival));
    const isLater = envelope.deliverAt !== null && envelope.deliverAt > this.#options.clock.now();
    const { address, tag } = envelope;
    const resident = this.#options.activations.resident(shard, behavior, address, tag);
    if (resident !== undefined && (resident.isBacklogged || resident.isFull)) {
      if (envelope.deduplicationKey === null)
        return void refuseFull(arrival, resident, this.#options.counters);
      const silencesBefore = this.#silences;
      return this.#lookUps.take(async () => {
        if (this.#silences === silencesBefore) return this.#joinWithoutRoom(arrival, shard, resident);
        // Storage was silent for one in front of it: who waits is not to wait for its deadline, too, time and again.
        refuse(arrival, "PERSISTENCE", OUT_OF_REACH);
      });
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
    try {
      const save = (): Promise<SaveRequestResult> =>
        this.#beingStored.until(envelope, () =>
          this.#options.messages.saveRequest(envelope, request.attempts, shard.fence),
        );
      const saving = straight !== null || isLater ? save() : shard.store(save);
      if (request.attemptIsRecorded) request.accepting = saving;
      const saved = await saving;
      if (saved.outcome === "duplicate") {
        if (straight !== null) this.#withdraw(request, straight, shard);
        this.#options.waiters.remove(request.id, waiter);
        if (this.#options.admittingShard(arrival) !== shard)
          return void refuse(arrival, "NOT_ASSIGNED", ACCEPTED_BEFORE);
        return await this.#answerDuplicate(arrival, shard, saved.existing);
      }
      this.#options.counters.accepted += 1;
      if (envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
      if (isLater && envelope.deliverAt !== null) return this.#options.noteDue(envelope.deliverAt);
      if (straight === null) return void this.#options.wake();
      request.sequence = saved.sequence;
      request.isAccepted = true;
      // Put back meanwhile, with what was in front of it: it is read in its turn.
      if (this.#options.requests.get(request.id) !== request) {
        shard.markUnreadFor(address);
        return void this.#options.wake();
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
      shard.markUnreadFor(address);
      void this.#options.wake();
      refuse(arrival, "PERSISTENCE", error instanceof PersistenceError ? error.detail : "the storage failed");
    }
  }

  /** Whether its handler may begin before it is stored (A4). */
  #mayRunAhead(
    { envelope, isFirst, hasLeft, peer }: Arrival,
    { shard, behavior, rpc }: Destination,
    { isFree }: Activation,
  ): boolean {
    const { requestId, expects, deduplicationKey, readPendingFirst, address } = envelope;
    return (
      behavior.mayRunAhead === true &&
      isFirst &&
      isFree &&
      !hasLeft &&
      expects === "reply" &&
      deduplicationKey === null &&
      !readPendingFirst &&
      this.#options.isBrief(behavior, rpc) &&
      (peer === HERE || requestId >= shard.firstId) &&
      // Nothing runs of what storage cannot take.
      isPlainText(address.entityId)
    );
  }

  /** Of what is not to be stored: it joins what has its key, also where that was answered. @param otherwise nothing has it */
  async #joinByKey(arrival: Arrival, shard: HostedShard, otherwise: () => void): Promise<void> {
    const { address, tag, deduplicationKey: key } = arrival.envelope;
    const { clock } = this.#options;
    const askedAt = clock.monotonic();
    try {
      const existing = key === null ? null : await this.#options.messages.lookUpByKey(address, tag, key);
      if (this.#options.admittingShard(arrival) !== shard)
        return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
      if (existing !== null) return await this.#answerDuplicate(arrival, shard, existing);
      otherwise();
    } catch {
      if (clock.monotonic() - askedAt >= SILENCE_MS) this.#silences += 1;
      refuse(arrival, "PERSISTENCE", OUT_OF_REACH);
    }
  }

  /** What was accepted under its key before needs no room, and a refusal would say that nothing was. */
  async #joinWithoutRoom(arrival: Arrival, shard: HostedShard, resident: Activation): Promise<void> {
    const { envelope } = arrival;
    if (arrival.hasLeft && !envelope.uninterruptible) return;
    // Also one that was, and is stored when storage has been asked, may have been stored after that looked.
    const wasBeingStored = this.#beingStored.has(envelope);
    await this.#joinByKey(arrival, shard, () => {
      if (wasBeingStored || this.#beingStored.has(envelope))
        refuse(arrival, "PERSISTENCE", "a request of its key is being stored");
      else refuseFull(arrival, resident, this.#options.counters);
    });
  }

  /** What it only joins is not there, or is forgotten by now. */
  #answerAbsent({ envelope, answer }: Arrival): void {
    answer(failure(envelope.requestId, encodeError(absent(envelope), { exposeStacks: false })));
  }

  async #answerDuplicate(arrival: Arrival, shard: HostedShard, existing: RequestState): Promise<void> {
    const { envelope, peer, answer } = arrival;
    this.#options.counters.duplicates += 1;
    const isDue =
      existing.state === "pending" &&
      (existing.deliverAt === null || existing.deliverAt <= this.#options.clock.now());
    if (isDue && !this.#options.requests.has(existing.requestId)) {
      // Its sender believes it accepted, and what it sends next must not overtake it (A2).
      shard.markUnreadFor(envelope.address);
      void this.#options.wake();
    }
    this.#protect(existing.requestId, envelope);
    if (envelope.expects === "acceptance") return answer({ type: "accepted", requestId: envelope.requestId });
    // Whoever asked under another id is answered under its own.
    const toSender: Answer = (message) => answer(readdress(message, envelope.requestId));
    if (existing.state !== "pending") return this.#answerFrom(existing, arrival, toSender);
    const inVain = isDue ? null : this.#failureOf(envelope, shard);
    if (inVain !== null) return toSender(failure(existing.requestId, inVain));
    if (!(await this.#join(arrival, existing.requestId, toSender))) return;
    if (this.#options.requests.has(existing.requestId)) return;
    void this.#options.wake();
    // It may have ended since storage said that it is pending, before anybody waited.
    const [state] = await this.#options.messages.lookUp([existing.requestId]);
    if (state === undefined || state.state === "pending") return;
    this.#options.waiters.remove(existing.requestId, {
      peer,
      requestId: envelope.requestId,
      shardId: envelope.address.shardId,
    });
    await this.#answerFrom(state, arrival, toSender);
  }

  /** Lets a peer wait for a request that is under way; of a stream it gets what is kept of it first. Returns whether it waits. */
  async #join(arrival: Arrival, requestId: string, answer: Answer): Promise<boolean> {
    const { envelope, peer, readFrom } = arrival;
    if (arrival.hasLeft) return false;
    if (envelope.expects === "acceptance") {
      answer({ type: "accepted", requestId: envelope.requestId });
      return false;
    }
    const waiter = {
      peer,
      requestId: envelope.requestId,
      shardId: envelope.address.shardId,
      answer,
      isUninterruptible: envelope.uninterruptible,
      isPatient: isPatient(envelope),
    };
    this.#options.waiters.add(requestId, waiter);
    if (
      envelope.expects !== "stream" ||
      (await this.#options.chunks.send(requestId, readFrom, answer)) !== null
    )
      return true;
    this.#options.waiters.remove(requestId, waiter);
    answer(chunksUnread(envelope.requestId));
    return false;
  }

  /** Why it is in vain to wait for a request that was put off. Null: it is not, or who asks waits all the same. */
  #failureOf(envelope: Envelope, shard: HostedShard): EncodedError | null {
    if (isPatient(envelope)) return null;
    const behavior = this.#options.behaviors.get(envelope.address.entityType);
    return behavior?.failureOf?.(envelope, shard.fence) ?? null;
  }

  /** Also once who joined has left: an execution that moves to another runner joins it again from there. */
  #protect(requestId: string, { uninterruptible }: Envelope): void {
    const joined = uninterruptible ? this.#options.requests.get(requestId) : undefined;
    if (joined !== undefined) joined.isUninterruptible = true;
  }

  async #answerFrom(
    state: Exclude<RequestState, { state: "pending" }>,
    { envelope, readFrom }: Arrival,
    answer: Answer,
  ): Promise<void> {
    const kept =
      envelope.expects === "stream" ? await this.#options.chunks.send(state.requestId, readFrom, answer) : {};
    if (kept === null) return answer(chunksUnread(envelope.requestId));
    answer({ type: "reply", reply: endOf(state, envelope), ...kept });
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
    if (behind.length > 0) void this.#options.wake();
  }
}
