// Delivery: the sender's side of every request: gets it to the owner of its shard, and its reply back.
//
//   D1  A volatile request is sent again only while it surely did not run: it could not be delivered, or was refused
//       before it was admitted. Once a handler may have run, its loss is reported and not repaired.
//   D2  A persisted request is sent again, under the same id, until its reply is known. Where no owner is to be had it is
//       stored by this sender, and its reply is looked up (store-and-forward.ts).
//   D3  Every wait ends: a probe finds out about requests and replies that were lost on the way. What is in storage and has no room,
//       or no code, is waited for as long as its caller does. What is new and has no code fails, unless it is to be kept.
//   D4  While a shard moves, nothing fails: who is turned away by a live runner asks the next owner, at once where another
//       one is known, and again for as long as a move can take. What nobody takes is counted, and fails.
//   D5  Nothing is sent to a runner that is known to be out of reach: what is persisted goes round by storage at once. The
//       rest is tried again, like what could not be delivered: the runner may have been busy, or its shard moves on.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage, RequestState } from "../adapter/message-storage.ts";
import type { Logger } from "../contract/logger.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import { timeOfRequestId } from "../data/request-id.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Rejected, RejectionCode, WireMessage } from "../data/wire-message.ts";
import {
  ClusterClosedError,
  EntityNotAssignedError,
  RunnerUnavailableError,
  UnknownEntityError,
} from "../errors/routing.ts";
import { endOf } from "./answers.ts";
import {
  forgetRefusals,
  newOutgoing,
  retryDelayMs,
  type DeliveryListener,
  type Origin,
  type Outgoing,
} from "./outgoing.ts";
import { OutgoingRequests } from "./outgoing-requests.ts";
import { ACCEPTED_BEFORE, OUT_OF_REACH, rejectionError } from "./rejection.ts";
import { isLeftToStorage, maybeStored, mayBeInStorage, StoreAndForward } from "./store-and-forward.ts";

export interface DeliveryOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often a request that found no owner is tried again. */
  readonly sendRetryCount: number;
  readonly pollIntervalMs: number;
  /** How long a shard can be on its way from one live runner to another, in milliseconds. */
  readonly handOverMs: number;
  /** Whether this address answered lately, or was not asked yet. */
  readonly isReachable: (address: string) => boolean;
  /** Where the shard's owner is: an address, `HERE`, or undefined while there is none. */
  readonly ownerOf: (shardId: ShardId) => string | undefined;
  /** Whether a request of a handler on its very shard is taken here, although that is about to move to another owner. */
  readonly takesNested: (envelope: Envelope) => boolean;
  /** Whether some member of the shard's group says that it serves the entity's type. */
  readonly serves: (address: EntityAddress) => boolean;
  /** The shard was not where it was asked for: the list of members may be out of date. */
  readonly reroute: (shardId: ShardId) => void;
  /** Sends to a peer. @throws {PayloadTooLargeError} */
  readonly send: (to: string, message: WireMessage) => void;
  /** Hands a message to the entities of this process. */
  readonly deliverHere: (message: WireMessage) => void;
}

/** The pauses of who was turned away: short, since a move takes a fraction of a second. */
const TURNED_AWAY_MS = 25;
const LONGEST_TURNED_AWAY_MS = 400;
const PROBE_MS = 2_000;
/** What is said of a stream which an owner may have accepted, and the next one takes nothing as large. */
const TOO_LARGE_NOW = "it may be there, and its shard's owner now takes no request that is as large";
/** Probes without any answer after which a peer counts as gone. */
const PROBES_UNANSWERED = 3;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #outgoing = new OutgoingRequests();
  readonly #storeAndForward: StoreAndForward;
  #probe: Timer | undefined;
  /** What its cluster is, once it carries nothing any more. */
  #closedAs: string | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#storeAndForward = new StoreAndForward({
      ...options,
      outgoing: this.#outgoing,
      stored: (shardId) => this.wakeOwner(shardId),
      found: (outgoing, state) => this.#settleFrom(outgoing, state),
      forward: (outgoing) => this.#dispatch(outgoing),
      failed: (outgoing, error) => this.#fail(outgoing, error),
    });
  }

  get pending(): number {
    return this.#outgoing.size;
  }

  /** Resolves when no call waits for an answer that may come soon: what was left to storage may take a deploy. */
  idle(): Promise<void> {
    return this.#outgoing.idle();
  }

  /** Sends a request. The listener may be called before this returns. */
  send(envelope: Envelope, listener: DeliveryListener, origin?: Origin): void {
    // Its input may have been parsed for as long as the cluster took to close: nobody else would ever tell its caller (D3).
    if (this.#closedAs !== null)
      return listener.failed(new ClusterClosedError({ what: describeCall(envelope), state: this.#closedAs }));
    const outgoing = newOutgoing(envelope, listener, origin);
    // A clock that was set back makes ids that go on from before: how old such a request is nobody can tell (newest-requests.ts).
    if (envelope.persisted && timeOfRequestId(envelope.requestId) > this.#options.clock.now())
      outgoing.sendings = 1;
    this.#outgoing.add(outgoing);
    this.#probe ??= this.#options.clock.setTimer(PROBE_MS, () => this.#probeAll());
    this.#dispatch(outgoing);
  }

  /** The caller waits no more: the owner is asked to interrupt the handler. */
  abandon(requestId: string): void {
    const outgoing = this.#outgoing.take(requestId);
    if (outgoing === undefined) return;
    this.#say(outgoing, { type: "interrupt", requestId, shardId: outgoing.envelope.address.shardId });
  }

  acknowledge(requestId: string, upTo: number): void {
    const outgoing = this.#outgoing.get(requestId);
    if (outgoing === undefined) return;
    outgoing.readFrom = upTo;
    this.#say(outgoing, { type: "acknowledge", requestId, upTo });
  }

  /** Chunks are missing although the end came: a persisted stream is asked for again. */
  resume(requestId: string): void {
    const outgoing = this.#outgoing.get(requestId);
    if (outgoing !== undefined) this.#lost(outgoing, "chunks of its stream were lost");
  }

  /** Forgets a request whose stream was read to its end. */
  done(requestId: string): void {
    this.#outgoing.take(requestId);
  }

  /** A message for this sender, from a peer or from this process. */
  receive(message: WireMessage): void {
    switch (message.type) {
      case "accepted":
        return this.#takenIn(message.requestId)?.listener.accepted();
      case "chunk":
        return this.#takenIn(message.chunk.requestId)?.listener.chunk(message.chunk, message.keptFrom ?? 0);
      case "reply":
        return this.#replied(message.reply, message.keptFrom, message.chunkCount);
      case "rejected":
        return this.#rejected(message);
      case "known": {
        const outgoing = this.#outgoing.heard(message.requestId);
        if (outgoing === undefined) return;
        if (message.known) forgetRefusals(outgoing);
        // Where it was asked for before it was sent on, it is rightly not known any more.
        else if (outgoing.isProbed && outgoing.target !== null)
          this.#lost(outgoing, "the runner does not know it");
        return;
      }
      default:
        return;
    }
  }

  /** A message surely did not reach its peer. */
  undelivered(to: string, message: WireMessage): void {
    // Of a probe it says nothing: a busy peer's queue may have had no room for it. One that is gone is disconnected.
    if (message.type !== "request") return;
    const outgoing = this.#outgoing.get(message.envelope.requestId);
    if (outgoing?.target === to) this.#refused(outgoing);
  }

  /** The connection to a peer is gone, and with it what was awaited from there. */
  disconnected(peer: string): void {
    for (const outgoing of this.#outgoing.values()) {
      if (outgoing.target === peer) this.#lost(outgoing, "the connection to its runner broke");
    }
  }

  /** The members changed: what waits for an owner may have one now. */
  routesChanged(): void {
    this.#storeAndForward.forwardAll();
  }

  close(state: string): void {
    this.#closedAs = state;
    this.#probe?.cancel();
    this.#storeAndForward.close();
    for (const outgoing of this.#outgoing.values()) {
      const { envelope, target, retry, listener } = outgoing;
      retry?.cancel();
      const mayHaveRun = target !== null || mayBeInStorage(outgoing);
      listener.failed(new ClusterClosedError({ what: describeCall(envelope), state, mayHaveRun }));
    }
    this.#outgoing.clear();
  }

  #dispatch(outgoing: Outgoing): void {
    const { envelope } = outgoing;
    const { shardId } = envelope.address;
    const owner = this.#options.ownerOf(shardId);
    const isMoving = outgoing.isNested && owner !== HERE;
    const target = isMoving && this.#options.takesNested(envelope) ? HERE : owner;
    // Its next owner has it wait until the handler that sends it has ended.
    if (isMoving && target !== HERE && isForStorage(envelope) && this.#options.serves(envelope.address))
      return this.#storeNow(outgoing);
    outgoing.leftBy = null;
    if (target === undefined) return this.#refused(outgoing);
    if (target !== HERE && !this.#options.isReachable(target)) return this.#goRound(outgoing, target);
    outgoing.target = target;
    outgoing.isProbed = false;
    outgoing.unanswered = 0;
    outgoing.readsUpTo = this.#storeAndForward.readsUpTo(outgoing);
    const readPendingFirst = outgoing.readsUpTo !== null;
    const sent = readPendingFirst ? { ...envelope, readPendingFirst } : envelope;
    const { sendings, readFrom } = outgoing;
    const message: Extract<WireMessage, { type: "request" }> =
      sendings === 0
        ? { type: "request", envelope: sent }
        : { type: "request", envelope: sent, sending: sendings, ...(readFrom === 0 ? {} : { readFrom }) };
    outgoing.sendings += 1;
    try {
      if (target === HERE && outgoing.isNested) this.#options.deliverHere({ ...message, isNested: true });
      else this.#say(outgoing, message);
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (!mayBeInStorage(outgoing)) return this.#fail(outgoing, failure);
      // Its elements come from its owner alone, which cannot be asked for them.
      if (envelope.expects === "stream") return this.#fail(outgoing, maybeStored(failure, TOO_LARGE_NOW));
      // The owner before took more at a time than this one, which reads it from storage: its reply is looked up there.
      this.#storeNow(outgoing);
    }
  }

  /** It is for its owner to find in storage. */
  #storeNow(outgoing: Outgoing): void {
    outgoing.target = null;
    if (outgoing.storedAs === null && !outgoing.isStoring) this.#store(outgoing);
  }

  #say(outgoing: Outgoing, message: WireMessage): void {
    if (outgoing.target === HERE) this.#options.deliverHere(message);
    else if (outgoing.target !== null) this.#options.send(outgoing.target, message);
  }

  /** The owner is a member, and out of reach from here (D5). */
  #goRound(outgoing: Outgoing, address: string): void {
    const { envelope } = outgoing;
    outgoing.target = null;
    if (outgoing.storedAs !== null || outgoing.isStoring) return;
    if (envelope.persisted) return this.#store(outgoing);
    if (outgoing.retry !== null) return;
    outgoing.refusals += 1;
    if (outgoing.refusals <= this.#options.sendRetryCount) return this.#retryRefused(outgoing);
    this.#fail(
      outgoing,
      new RunnerUnavailableError({ address, what: describeCall(envelope), mayHaveRun: false }),
    );
  }

  /** A live runner does not have the shard: it is on its way to another one, which may be known already (D4). */
  #turnedAway(outgoing: Outgoing): void {
    const { envelope, target: asked } = outgoing;
    const { shardId } = envelope.address;
    const { clock, handOverMs } = this.#options;
    const now = clock.monotonic();
    outgoing.turnedAwaySince ??= now;
    outgoing.turnedAway += 1;
    outgoing.target = null;
    if (outgoing.storedAs !== null || outgoing.isStoring || outgoing.retry !== null) return;
    this.#options.reroute(shardId);
    const next = this.#options.ownerOf(shardId);
    if (next !== undefined && next !== asked && !outgoing.isRedirected) {
      outgoing.isRedirected = true;
      return this.#dispatch(outgoing);
    }
    outgoing.isRedirected = false;
    // What is persisted is not kept waiting for long: it is accepted by storing it, and found by the next owner there.
    const isPatient =
      !envelope.persisted && next !== undefined && now - outgoing.turnedAwaySince < handOverMs;
    if (!isPatient) return this.#refused(outgoing);
    const doublings = Math.min(outgoing.turnedAway, 8);
    this.#retryAfter(outgoing, Math.min(TURNED_AWAY_MS * 2 ** doublings, LONGEST_TURNED_AWAY_MS));
  }

  #retryRefused(outgoing: Outgoing): void {
    this.#retryAfter(outgoing, retryDelayMs(outgoing.refusals));
  }

  #retryAfter(outgoing: Outgoing, delayMs: number): void {
    outgoing.retry = this.#options.clock.setTimer(delayMs, () => {
      outgoing.retry = null;
      if (this.#outgoing.has(outgoing.envelope.requestId)) this.#dispatch(outgoing);
    });
  }

  /** It surely did not run there. */
  #refused(outgoing: Outgoing): void {
    const { envelope } = outgoing;
    const { shardId, entityType } = envelope.address;
    outgoing.target = null;
    outgoing.refusals += 1;
    // What is stored is found by its owner, and its reply by the poll.
    if (outgoing.storedAs !== null || outgoing.isStoring || outgoing.retry !== null) return;
    this.#options.reroute(shardId);
    if (outgoing.refusals <= this.#options.sendRetryCount) return this.#retryRefused(outgoing);
    if (envelope.persisted) return this.#store(outgoing);
    this.#fail(
      outgoing,
      this.#options.ownerOf(shardId) !== undefined && !this.#options.serves(envelope.address)
        ? new UnknownEntityError({ entityType, known: [] })
        : new EntityNotAssignedError({
            entity: entityKey(envelope.address),
            shardId,
            attempts: outgoing.refusals,
          }),
    );
  }

  /** It may have run there, and its answer will not come. */
  #lost(outgoing: Outgoing, why: string): void {
    const { envelope } = outgoing;
    const address = outgoing.target ?? "an unknown address";
    outgoing.target = null;
    if (!envelope.persisted) {
      return this.#fail(
        outgoing,
        new RunnerUnavailableError({ address, what: `${describeCall(envelope)} (${why})`, mayHaveRun: true }),
      );
    }
    outgoing.mayBeAccepted = true;
    this.#options.reroute(envelope.address.shardId);
    this.#refused(outgoing);
  }

  /** Tells the owner of a shard, if there is one, that there is work in storage. */
  wakeOwner(shardId: ShardId): void {
    const owner = this.#options.ownerOf(shardId);
    const message: WireMessage = { type: "wake", shardIds: [shardId] };
    if (owner === HERE) this.#options.deliverHere(message);
    else if (owner !== undefined) this.#options.send(owner, message);
  }

  #settleFrom(outgoing: Outgoing, state: RequestState): void {
    const { requestId } = outgoing.envelope;
    if (state.state === "pending") return;
    if (outgoing.envelope.expects === "stream" && state.state === "answered") {
      // The chunks are with storage; the owner sends them, and the end after them.
      if (outgoing.target === null) this.#dispatch(outgoing);
      return;
    }
    this.#replied({ ...endOf(state, outgoing.envelope), requestId });
  }

  #replied(reply: Reply, keptFrom: number = 0, chunkCount: number = 0): void {
    const outgoing = this.#takenIn(reply.requestId);
    if (outgoing === undefined) return;
    // A stream is forgotten by its reader, who may find chunks missing.
    if (outgoing.envelope.expects !== "stream" || (!reply.exit.ok && chunkCount === 0))
      this.#outgoing.drop(outgoing);
    outgoing.listener.reply(reply, keptFrom, chunkCount);
  }

  #rejected(message: Rejected): void {
    const outgoing = this.#outgoing.heard(message.requestId);
    if (outgoing === undefined) return;
    // A refusal that came late or twice says nothing of what was sent since.
    if (message.sending !== undefined && message.sending !== outgoing.sendings - 1) return;
    if (this.#isLeft(outgoing, message.code)) {
      void this.#storeAndForward.leave(outgoing, message).then(() => this.#outgoing.checkIdle());
      return;
    }
    switch (message.code) {
      case "NOT_ASSIGNED":
      case "CLOSING":
        outgoing.mayBeAccepted ||= message.detail === ACCEPTED_BEFORE;
        return this.#turnedAway(outgoing);
      case "PERSISTENCE":
        // Its outcome may be unknown; under the same id it is safe to repeat, there and then from here (D2).
        outgoing.mayBeAccepted ||= outgoing.envelope.persisted && message.detail !== OUT_OF_REACH;
        return this.#refused(outgoing);
      case "UNKNOWN_ENTITY":
        if (this.#storeAndForward.waitsForItsType(outgoing)) {
          outgoing.target = null;
          return this.#store(outgoing);
        }
        return this.#fail(outgoing, rejectionError(message, outgoing.envelope));
      default:
        return this.#fail(outgoing, rejectionError(message, outgoing.envelope));
    }
  }

  /** Whether what a refusal says does not count, because storage has the request, or may have it. */
  #isLeft(outgoing: Outgoing, code: RejectionCode): boolean {
    if (!isLeftToStorage(outgoing.envelope, code)) return false;
    if (mayBeInStorage(outgoing)) return true;
    const { deduplicationKey, expects } = outgoing.envelope;
    if (deduplicationKey === null || expects === "stream") return false;
    // Who does not have its code did not look whether it was accepted before, under its key.
    return (
      code === "UNKNOWN_RPC" ||
      (code === "UNKNOWN_ENTITY" && !this.#storeAndForward.waitsForItsType(outgoing))
    );
  }

  #store(outgoing: Outgoing): void {
    void this.#storeAndForward.store(outgoing).then(() => this.#outgoing.checkIdle());
  }

  #probeAll(): void {
    this.#probe = undefined;
    if (this.#closedAs !== null) return;
    for (const outgoing of this.#outgoing.values()) {
      if (outgoing.target === null || outgoing.target === HERE) continue;
      outgoing.unanswered += 1;
      if (outgoing.unanswered > PROBES_UNANSWERED) {
        // It is a member still, but out of reach from here: for what is persisted there is another way.
        outgoing.refusals = this.#options.sendRetryCount;
        this.#lost(outgoing, "it does not answer");
      } else {
        outgoing.isProbed = true;
        this.#say(outgoing, { type: "probe", requestId: outgoing.envelope.requestId });
      }
    }
    if (this.#outgoing.size > 0) this.#probe = this.#options.clock.setTimer(PROBE_MS, () => this.#probeAll());
  }

  /** Its owner has the request, and has read first if it was told to. */
  #takenIn(requestId: string): Outgoing | undefined {
    const outgoing = this.#outgoing.heard(requestId);
    if (outgoing === undefined) return undefined;
    forgetRefusals(outgoing);
    this.#storeAndForward.takenIn(outgoing);
    return outgoing;
  }

  #fail(outgoing: Outgoing, error: Error): void {
    if (this.#outgoing.take(outgoing.envelope.requestId) !== undefined) outgoing.listener.failed(error);
  }
}

/** Whether its sender waits for no more than that it is stored. */
function isForStorage({ persisted, expects }: Envelope): boolean {
  return persisted && expects === "acceptance";
}
