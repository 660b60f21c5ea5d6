// Admission: decides of each request that comes from a caller whether it gets a place in a mailbox. What comes out of storage
// is for stored-admission.ts.
//
// Runs nothing, and knows of shards only what it asks for.
//
//   A1  A request is admitted only while its shard is served at that very moment: it is asked again after each await.
//   A2  A persisted request goes straight to its mailbox only if everything accepted before it for that entity is in
//       memory; else it is only stored, and read back in order (INV-4).
//   A3  Nothing runs twice because it came twice: not what is volatile and was seen lately, nor what storage knows.
//   A4  A persisted request runs before it is stored where its sender waits, it came nowhere before and is in no storage, it has
//       no key to be known by, nothing is in front of it, and its rpc's handlers are brief: it is stored together with its reply.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState, SaveRequestResult } from "../adapter/message-storage.ts";
import { decodePayload } from "../contract/payload.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import { parseWhat } from "../contract/schema.ts";
import { BriefMap } from "../data/brief-map.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import { isPatient, type Envelope } from "../data/envelope.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { RejectionCode, WireMessage } from "../data/wire-message.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import {
  ACCEPTED_BEFORE,
  chunksUnread,
  describeInvalidInput,
  endOf,
  failure,
  OUT_OF_REACH,
  readdress,
} from "./answers.ts";
import { askedRpc } from "./asked-rpc.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { KeptChunks } from "./kept-chunks.ts";
import type { NewestRequests } from "./newest-requests.ts";
import { RecentIds } from "./recent-ids.ts";
import type { Answer, ReplyWaiters } from "./reply-waiters.ts";

export interface AdmissionOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Requests in memory here, by id. */
  readonly requests: BriefMap<HostedRequest>;
  readonly waiters: ReplyWaiters;
  readonly chunks: KeptChunks;
  readonly behaviors: ReadonlyMap<string, EntityBehavior>;
  /** Whether this runner keeps off its shards because storage or leases are out of reach. */
  readonly isDetached: () => boolean;
  /** Whether this runner takes no shards any more. */
  readonly isClosing: () => boolean;
  /** Resolves when a shard that is on its way here has come, or will not. Null: it is not on its way. */
  readonly arrival: (shardId: ShardId) => Promise<void> | null;
  /** The shard, while requests for it are admitted here. */
  readonly servedShard: (shardId: ShardId) => HostedShard | undefined;
  /** The entity's activation for requests of a tag, made if there is none. */
  readonly activation: (
    shard: HostedShard,
    behavior: EntityBehavior,
    address: EntityAddress,
    tag: string,
  ) => Activation;
  /** That activation, if it is in memory. */
  readonly resident: (
    shard: HostedShard,
    behavior: EntityBehavior,
    address: EntityAddress,
    tag: string,
  ) => Activation | undefined;
  /** Of each sender of persisted requests, which came last. */
  readonly newest: NewestRequests;
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

export type RequestMessage = Extract<WireMessage, { type: "request" }>;

/** A request between its coming and its admission. */
interface Arrival {
  readonly envelope: Envelope;
  readonly peer: string;
  readonly answer: Answer;
  /** Of a persisted one: whether it surely came nowhere before, and nobody has stored it (A4). */
  isFirst: boolean;
  /** Its caller left meanwhile, and waits for nothing. */
  hasLeft: boolean;
}

/** What a request is for, as it was found while its shard was served here. */
interface Destination {
  readonly shard: HostedShard;
  readonly behavior: EntityBehavior;
  readonly rpc: AnyRpc;
}

export class Admission {
  readonly #options: AdmissionOptions;
  /** Requests that came and are not admitted or refused yet: their shard is expected, or they are being parsed. */
  readonly #arriving = new BriefMap<Arrival>();
  /** Sendings of volatile requests that came lately, so that a message that comes twice counts once. */
  readonly #recent = new RecentIds();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Whether this request came and is not admitted or refused yet. */
  knows(requestId: string): boolean {
    return this.#arriving.has(requestId);
  }

  /** The caller of a request that came left meanwhile. */
  interrupt(requestId: string): void {
    const arrival = this.#arriving.get(requestId);
    if (arrival !== undefined) arrival.hasLeft = true;
  }

  /**
   * Takes a request from a peer or from this process. `answer` is told what becomes of it, which may be in this very turn:
   * where nothing has to be awaited, nothing is.
   */
  receive({ envelope, sending = 0 }: RequestMessage, peer: string, answer: Answer): void {
    // The first of two copies has the answer. Persisted requests have it from storage; this process copies nothing.
    const isCopied = !envelope.persisted && peer !== HERE;
    if (isCopied && !this.#recent.add(`${envelope.requestId} ${sending}`)) return;
    const arrival: Arrival = {
      envelope,
      peer,
      answer: isCopied ? toSending(sending, answer) : answer,
      isFirst: envelope.persisted && this.#isFirst(envelope, sending, peer),
      hasLeft: false,
    };
    const shardComes = this.#options.arrival(envelope.address.shardId);
    const admitted = shardComes === null ? this.#admit(arrival) : shardComes.then(() => this.#admit(arrival));
    if (admitted !== null) void this.#keepUntil(arrival, admitted);
  }

  /** Also noted of what was sent before: a copy of its first sending may come late. This process copies and loses nothing. */
  #isFirst(envelope: Envelope, sending: number, peer: string): boolean {
    return (peer === HERE || this.#options.newest.note(envelope)) && sending === 0;
  }

  /** Knows an arrival until it is admitted or refused. */
  async #keepUntil(arrival: Arrival, admitted: Promise<void | null>): Promise<void> {
    const { requestId } = arrival.envelope;
    this.#arriving.set(requestId, arrival);
    try {
      await admitted;
    } finally {
      if (this.#arriving.get(requestId) === arrival) this.#arriving.delete(requestId);
    }
  }

  /** Admits or refuses it. Null: that is done. */
  #admit(arrival: Arrival): Promise<void> | null {
    const { envelope } = arrival;
    const destination = this.#destination(arrival);
    if (destination === null) return null;
    const { rpc } = destination;
    let input: unknown;
    try {
      const what = (): string => `The input of ${envelope.address.entityType}.${envelope.tag}`;
      input = parseWhat(rpc.input, decodePayload(envelope.payload, what), what);
    } catch (error) {
      return refuse(arrival, "INVALID_INPUT", describeInvalidInput(error));
    }
    if (input instanceof Promise) return this.#admitParsed(arrival, destination, input);
    return this.#admitWith(input, arrival, destination);
  }

  async #admitParsed(arrival: Arrival, destination: Destination, parsing: Promise<unknown>): Promise<void> {
    let input: unknown;
    try {
      input = await parsing;
    } catch (error) {
      return void refuse(arrival, "INVALID_INPUT", describeInvalidInput(error));
    }
    // What was sent after it may have been parsed before, and be over.
    arrival.isFirst = false;
    // Ownership is asked again before anything is admitted (A1).
    if (this.#options.servedShard(arrival.envelope.address.shardId) !== destination.shard)
      return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
    await this.#admitWith(input, arrival, destination);
  }

  #admitWith(input: unknown, arrival: Arrival, destination: Destination): Promise<void> | null {
    const { envelope } = arrival;
    if (arrival.hasLeft && !envelope.uninterruptible) return null;
    const request = new HostedRequest(
      { envelope, rpc: destination.rpc, input },
      { attempts: 0, attemptIsRecorded: false, isAccepted: !envelope.persisted },
    );
    return envelope.persisted
      ? this.#receivePersisted(request, arrival, destination)
      : this.#receiveVolatile(request, arrival, destination);
  }

  /** Null: there is none, and it is refused. */
  #destination(arrival: Arrival): Destination | null {
    const { address } = arrival.envelope;
    const shard = this.#options.servedShard(address.shardId);
    if (shard === undefined) {
      // Detached, it will not have the shard soon: its senders are to try elsewhere, or to give up.
      if (this.#options.isDetached()) return refuse(arrival, "PERSISTENCE", OUT_OF_REACH);
      const code = this.#options.isClosing() ? "CLOSING" : "NOT_ASSIGNED";
      return refuse(arrival, code, "this runner does not own the shard");
    }
    const behavior = this.#options.behaviors.get(address.entityType);
    if (behavior === undefined)
      return refuse(arrival, "UNKNOWN_ENTITY", [...this.#options.behaviors.keys()].join("\n"));
    const asked = askedRpc(behavior, arrival.envelope);
    if (asked.refusal !== null) return refuse(arrival, asked.refusal.code, asked.refusal.detail);
    return { shard, behavior, rpc: asked.rpc };
  }

  #receiveVolatile(request: HostedRequest, arrival: Arrival, { shard, behavior }: Destination): null {
    const { envelope, peer, answer } = arrival;
    const activation = this.#options.activation(shard, behavior, envelope.address, envelope.tag);
    if (activation.isFull) return this.#refuseFull(activation, arrival);
    this.#options.counters.accepted += 1;
    this.#options.requests.set(request.id, request);
    if (envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
    else request.caller = { peer, answer };
    activation.admit(request);
    return null;
  }

  async #receivePersisted(request: HostedRequest, arrival: Arrival, destination: Destination): Promise<void> {
    const { shard, behavior } = destination;
    const { envelope, peer, answer } = arrival;
    if (envelope.readPendingFirst) {
      // If the read fails, the shard stays unread, and the request is only stored (A2).
      shard.markUnread();
      await this.#options.wake();
      if (this.#options.servedShard(envelope.address.shardId) !== shard)
        return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
      if (arrival.hasLeft && !envelope.uninterruptible) return;
    }
    const known = this.#options.requests.get(request.id);
    if (known !== undefined && (known.isAccepted || known.storing !== null))
      return void (await this.#join(arrival, request.id, answer));
    const isLater = envelope.deliverAt !== null && envelope.deliverAt > this.#options.clock.now();
    const { address, tag } = envelope;
    const resident = this.#options.resident(shard, behavior, address, tag);
    if (resident !== undefined && (resident.isBacklogged || resident.isFull))
      return void this.#refuseFull(resident, arrival);
    // What is only stored brings no entity into memory.
    const isOnlyStored = known !== undefined || isLater || shard.isUnread;
    const straight = isOnlyStored
      ? null
      : (resident ?? this.#options.activation(shard, behavior, address, tag));
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
      this.#options.requests.set(request.id, request);
      straight.mailbox.push(request);
    }
    if (envelope.expects !== "acceptance" && !arrival.hasLeft) this.#options.waiters.add(request.id, waiter);
    try {
      const save = (): Promise<SaveRequestResult> =>
        this.#options.messages.saveRequest(envelope, request.attempts, shard.fence);
      const saving = straight !== null || isLater ? save() : shard.store(save);
      if (request.attemptIsRecorded) request.accepting = saving;
      const saved = await saving;
      if (saved.outcome === "duplicate") {
        if (straight !== null) this.#withdraw(request, straight, shard);
        this.#options.waiters.remove(request.id, waiter);
        if (this.#options.servedShard(envelope.address.shardId) !== shard)
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
        shard.markUnread();
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
      shard.markUnread();
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
      address.entityId.isWellFormed() &&
      !address.entityId.includes("\0")
    );
  }

  #refuseFull(activation: Activation, arrival: Arrival): null {
    this.#options.counters.mailboxFull += 1;
    return refuse(arrival, "MAILBOX_FULL", String(activation.mailbox.capacity));
  }

  async #answerDuplicate(arrival: Arrival, shard: HostedShard, existing: RequestState): Promise<void> {
    const { envelope, peer, answer } = arrival;
    this.#options.counters.duplicates += 1;
    const isDue =
      existing.state === "pending" &&
      (existing.deliverAt === null || existing.deliverAt <= this.#options.clock.now());
    if (isDue && !this.#options.requests.has(existing.requestId)) {
      // Its sender believes it accepted, and what it sends next must not overtake it (A2).
      shard.markUnread();
      void this.#options.wake();
    }
    this.#protect(existing.requestId, envelope);
    if (envelope.expects === "acceptance") return answer({ type: "accepted", requestId: envelope.requestId });
    // Whoever asked under another id is answered under its own.
    const toSender: Answer = (message) => answer(readdress(message, envelope.requestId));
    if (existing.state !== "pending") return this.#answerFrom(existing, envelope, toSender);
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
    await this.#answerFrom(state, envelope, toSender);
  }

  /** Lets a peer wait for a request that is under way; of a stream it gets what is kept of it first. Returns whether it waits. */
  async #join(arrival: Arrival, requestId: string, answer: Answer): Promise<boolean> {
    const { envelope, peer } = arrival;
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
    if (envelope.expects !== "stream" || (await this.#options.chunks.send(requestId, answer)) !== null)
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
    envelope: Envelope,
    answer: Answer,
  ): Promise<void> {
    const kept =
      envelope.expects === "stream" ? await this.#options.chunks.send(state.requestId, answer) : {};
    if (kept === null) return answer(chunksUnread(envelope.requestId));
    answer({ type: "reply", reply: endOf(state, envelope), ...kept });
  }

  /**
   * A request that went straight to its mailbox has no right to its place: storage may have it from before, where what
   * came behind it here was accepted after it. So that is put back, too, and all of it is read again in order (A2).
   */
  #withdraw(request: HostedRequest, activation: Activation, shard: HostedShard): void {
    const behind = activation.mailbox.emptyAfter(request);
    for (const other of behind) {
      if (!other.envelope.persisted) activation.mailbox.push(other);
      else if (this.#options.requests.get(other.id) === other) this.#options.requests.delete(other.id);
    }
    shard.holdBack(activation.address);
    this.#options.forget(request, activation);
    if (behind.length > 0) void this.#options.wake();
  }
}

/** A copy of a refusal must not be taken for one of the next sending, which may have run. */
function toSending(sending: number, answer: Answer): Answer {
  return (message) => answer(message.type === "rejected" ? { ...message, sending } : message);
}

function refuse({ envelope, answer }: Arrival, code: RejectionCode, detail: string): null {
  answer({ type: "rejected", requestId: envelope.requestId, code, detail });
  return null;
}
