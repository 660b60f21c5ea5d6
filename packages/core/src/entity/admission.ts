// Admission: decides of each request that comes from a caller whether it gets a place in a mailbox. What comes out of storage
// is for stored-admission.ts.
//
// Runs nothing, and knows of shards only what it asks for.
//
//   A1  A request is admitted only while its shard is served at that very moment: it is asked again after each await.
//   A2  A persisted request goes straight to its mailbox only if everything accepted before it for that entity is in
//       memory; else it is only stored, and read back in order (INV-4).
//   A3  Nothing runs twice because it came twice: not what was seen lately, nor what is persisted and storage knows.
//   A4  A persisted request runs before it is stored where its sender waits, it came nowhere before and is in no storage, it has
//       no key to be known by, nothing is in front of it, and its rpc's handlers are brief: it is stored together with its reply.

import { decodePayload } from "../contract/payload.ts";
import { primaryKeyOf, type AnyRpc } from "../contract/rpc.ts";
import { parse } from "../contract/schema.ts";
import { BriefMap } from "../data/brief-map.ts";
import type { Envelope } from "../data/envelope.ts";
import { HERE } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { refuse, refuseFull, toSending, type Arrival, type Destination } from "./arrival.ts";
import { askedRpc } from "./asked-rpc.ts";
import { HostedRequest } from "./hosted-request.ts";
import type { NewestRequests } from "./newest-requests.ts";
import { PersistedAdmission, type PersistedAdmissionOptions } from "./persisted-admission.ts";
import { RecentIds } from "./recent-ids.ts";
import { describeInvalidInput, knownNames, OUT_OF_REACH } from "./rejection.ts";
import type { Answer } from "./reply-waiters.ts";

export interface AdmissionOptions extends PersistedAdmissionOptions {
  /** Whether this runner keeps off its shards because storage or leases are out of reach. */
  readonly isDetached: () => boolean;
  /** Whether this runner takes no shards any more. */
  readonly isClosing: () => boolean;
  /** Resolves when a shard that is on its way here has come, or will not. Null: it is not on its way. */
  readonly arrival: (shardId: ShardId) => Promise<void> | null;
  /** Of each sender of persisted requests, which came last. */
  readonly newest: NewestRequests;
}

export type RequestMessage = Extract<WireMessage, { type: "request" }>;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #persisted: PersistedAdmission;
  /** Requests that came and are not admitted or refused yet: their shard is expected, or they are being parsed. */
  readonly #arriving = new BriefMap<Arrival>();
  /** Sendings of requests that came lately, so that a message that comes twice counts once. */
  readonly #recent = new RecentIds();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#persisted = new PersistedAdmission(options);
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
  receive(
    { envelope, sending = 0, readFrom = 0, isNested = false }: RequestMessage,
    peer: string,
    answer: Answer,
  ): void {
    // The first of two copies has the answer, and a refusal of one must not be told where the other is accepted. This process
    // copies nothing.
    const mayBeCopy = peer !== HERE;
    if (mayBeCopy && !this.#recent.add(`${envelope.requestId} ${sending}`)) return;
    const arrival: Arrival = {
      envelope,
      peer,
      answer: mayBeCopy ? toSending(sending, answer) : answer,
      readFrom,
      isNested,
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
      input = parse(rpc.input, decodePayload(envelope.payload, what), what);
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
    if (this.#options.admittingShard(arrival) !== destination.shard)
      return void refuse(arrival, "NOT_ASSIGNED", "the shard moved");
    await this.#admitWith(input, arrival, destination);
  }

  #admitWith(input: unknown, arrival: Arrival, destination: Destination): Promise<void> | null {
    if (arrival.hasLeft && !arrival.envelope.uninterruptible) return null;
    const { rpc } = destination;
    if (!isKeyed(arrival, rpc)) {
      try {
        arrival.envelope = { ...arrival.envelope, deduplicationKey: primaryKeyOf(rpc, input) };
      } catch (error) {
        return refuse(arrival, "INVALID_INPUT", describeInvalidInput(error));
      }
    }
    const { envelope } = arrival;
    const request = new HostedRequest(
      { envelope, rpc, input },
      { attempts: 0, attemptIsRecorded: false, isAccepted: !envelope.persisted },
    );
    request.isNested = arrival.isNested;
    return envelope.persisted
      ? this.#persisted.receive(request, arrival, destination)
      : this.#receiveVolatile(request, arrival, destination);
  }

  /** Null: there is none, and it is refused. */
  #destination(arrival: Arrival): Destination | null {
    const { address } = arrival.envelope;
    const shard = this.#options.admittingShard(arrival);
    if (shard === undefined) {
      // Detached, it will not have the shard soon: its senders are to try elsewhere, or to give up.
      if (this.#options.isDetached()) return refuse(arrival, "PERSISTENCE", OUT_OF_REACH);
      const code = this.#options.isClosing() ? "CLOSING" : "NOT_ASSIGNED";
      return refuse(arrival, code, "this runner does not own the shard");
    }
    const behavior = this.#options.behaviors.get(address.entityType);
    if (behavior === undefined)
      return refuse(arrival, "UNKNOWN_ENTITY", knownNames(this.#options.behaviors.keys()));
    const asked = askedRpc(behavior, arrival.envelope);
    if (asked.refusal !== null) return refuse(arrival, asked.refusal.code, asked.refusal.detail);
    return { shard, behavior, rpc: asked.rpc };
  }

  #receiveVolatile(request: HostedRequest, arrival: Arrival, { shard, behavior }: Destination): null {
    const { envelope, peer, answer } = arrival;
    const activation = this.#options.activations.activate(shard, behavior, envelope.address, envelope.tag);
    if (activation.isFull) return refuseFull(arrival, activation, this.#options.counters);
    this.#options.counters.accepted += 1;
    this.#options.requests.set(request.id, request);
    if (envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
    else request.caller = { peer, answer };
    activation.admit(request);
    return null;
  }
}

/** Whether it has the key that its rpc takes out of its input. Who sends without the definition cannot give it. */
function isKeyed({ envelope }: Arrival, { primaryKey }: AnyRpc): boolean {
  return primaryKey === undefined || envelope.deduplicationKey !== null || !envelope.persisted;
}
