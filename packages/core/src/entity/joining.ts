// Joining: joins who sends a persisted request to the one that it is, under its id or its key, where that is known already.
//
//   N1  Who joins is told what its sender is told, under the id under which it asked.
//   N2  What was accepted before under its key needs no room, and a refusal would say that nothing was. So where a mailbox is full,
//       storage is asked for the key first (look-ups.ts).
//
// A1 and A2 are in admission.ts.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState } from "../adapter/message-storage.ts";
import type { BriefMap } from "../data/brief-map.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import { isPatient, type Envelope } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Activation } from "./activation.ts";
import { absence, endOf, failure, readdress } from "./answers.ts";
import { refuse, refuseFull, type Arrival } from "./arrival.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { KeptChunks } from "./kept-chunks.ts";
import type { KeysBeingStored } from "./keys-being-stored.ts";
import { LookUps } from "./look-ups.ts";
import { chunksUnread, OUT_OF_REACH } from "./rejection.ts";
import type { Answer, ReplyWaiters } from "./reply-waiters.ts";

export interface JoiningOptions {
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
  /** Has storage's pending requests read, of this shard before those of others. */
  readonly wake: (shardId?: ShardId) => void;
}

export class Joining {
  readonly #options: JoiningOptions;
  readonly #beingStored: KeysBeingStored;
  readonly #lookUps: LookUps;

  constructor(options: JoiningOptions, beingStored: KeysBeingStored) {
    this.#options = options;
    this.#beingStored = beingStored;
    this.#lookUps = new LookUps(options.clock);
  }

  /** Of what is not to be stored: it joins what has its key, also where that was answered. Never rejects. */
  byKey(arrival: Arrival, shard: HostedShard): Promise<void> {
    return this.#byKey(arrival, shard, () => this.#answerAbsent(arrival));
  }

  /** Of what has a key, and finds no room: it joins what has its key, or is refused (N2). Never rejects. */
  withoutRoom(arrival: Arrival, shard: HostedShard, resident: Activation): Promise<void> {
    return this.#lookUps.inTurn(
      () => this.#withoutRoom(arrival, shard, resident),
      () => void refuse(arrival, "PERSISTENCE", OUT_OF_REACH),
    );
  }

  /**
   * Answers from what storage has of the request that this one is, or has its sender wait for that.
   *
   * @throws {PersistenceError} it was pending, and may have ended: who waits is told then, and otherwise asks again
   */
  async joinStored(arrival: Arrival, shard: HostedShard, existing: RequestState): Promise<void> {
    const { envelope, peer, answer } = arrival;
    this.#options.counters.duplicates += 1;
    const isDue =
      existing.state === "pending" &&
      (existing.deliverAt === null || existing.deliverAt <= this.#options.clock.now());
    if (isDue && !this.#options.requests.has(existing.requestId)) {
      // Its sender believes it accepted, and what it sends next must not overtake it (A2).
      shard.markUnreadFor(envelope.address);
      this.#options.wake();
    }
    this.#protect(existing.requestId, envelope);
    if (envelope.expects === "acceptance") return answer({ type: "accepted", requestId: envelope.requestId });
    // Whoever asked under another id is answered under its own.
    const toSender: Answer = (message) => answer(readdress(message, envelope.requestId));
    if (existing.state !== "pending") return this.#answerFrom(existing, arrival, toSender);
    const inVain = isDue ? null : this.#failureOf(envelope, shard);
    if (inVain !== null) return toSender(failure(existing.requestId, inVain));
    if (!(await this.join(arrival, existing.requestId, toSender))) return;
    if (this.#options.requests.has(existing.requestId)) return;
    this.#options.wake();
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
  async join(arrival: Arrival, requestId: string, answer: Answer): Promise<boolean> {
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

  /** @param otherwise nothing has its key */
  async #byKey(arrival: Arrival, shard: HostedShard, otherwise: () => void): Promise<void> {
    const { address, tag, deduplicationKey: key } = arrival.envelope;
    try {
      await this.#lookUps.observed(async () => {
        const existing = key === null ? null : await this.#options.messages.lookUpByKey(address, tag, key);
        if (this.#options.admittingShard(arrival) !== shard)
          return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
        if (existing !== null) return await this.joinStored(arrival, shard, existing);
        otherwise();
      });
    } catch {
      refuse(arrival, "PERSISTENCE", OUT_OF_REACH);
    }
  }

  async #withoutRoom(arrival: Arrival, shard: HostedShard, resident: Activation): Promise<void> {
    const { envelope } = arrival;
    if (arrival.hasLeft && !envelope.uninterruptible) return;
    // Also one that was, and is stored when storage has been asked, may have been stored after that looked.
    const wasBeingStored = this.#beingStored.has(envelope);
    await this.#byKey(arrival, shard, () => {
      if (wasBeingStored || this.#beingStored.has(envelope))
        refuse(arrival, "PERSISTENCE", "a request of its key is being stored");
      else refuseFull(arrival, resident, this.#options.counters);
    });
  }

  /** What it only joins is not there, or is forgotten by now. */
  #answerAbsent({ envelope, answer }: Arrival): void {
    answer(absence(envelope));
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
}
