// StoredAdmission: gives a place to a request that storage handed back, or leaves it there for a later read.
//
// The other way in is admission.ts, whose A1 and A3 hold here, too.

import type { AnyRpc } from "../contract/rpc.ts";
import { isUnseen, type PendingRequest } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Activation } from "./activation.ts";
import type { AdmissionOptions } from "./admission.ts";
import { acceptedInput, askedRpc } from "./asked-rpc.ts";
import type { EntityBehavior } from "./behavior.ts";
import { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import { rejectionError } from "./rejection.ts";

export interface StoredAdmissionOptions extends Pick<
  AdmissionOptions,
  "counters" | "requests" | "waiters" | "behaviors" | "newest" | "activations"
> {
  /** The shard, while what is read from storage for it is admitted here. */
  readonly servedShard: (shardId: ShardId) => HostedShard | undefined;
  /** A stored request is for what no code here handles. */
  readonly unserved: (what: string) => void;
}

/** A request that was read, and what it is for. */
interface Found {
  readonly pending: PendingRequest;
  readonly shard: HostedShard;
  readonly behavior: EntityBehavior;
  readonly rpc: AnyRpc;
  readonly withoutRoom: Set<string>;
}

export class StoredAdmission {
  readonly #options: StoredAdmissionOptions;

  constructor(options: StoredAdmissionOptions) {
    this.#options = options;
  }

  /**
   * Takes a request that storage handed back, unless it is here, or has no room: then it is read again later. Null: that is
   * done. A promise only where there is a schema to parse it with.
   *
   * @param withoutRoom the keys of what had none for a request that was read with it. Some may be free by now, and is not for this
   * one: what was in front of it is read again first (INV-4)
   */
  admit(pending: PendingRequest, withoutRoom: Set<string>): Promise<void> | null {
    const { envelope } = pending;
    const { address, tag } = envelope;
    const shard = this.#options.servedShard(address.shardId);
    if (shard === undefined || this.#isTaken(pending, shard)) return null;
    const behavior = this.#options.behaviors.get(address.entityType);
    if (behavior === undefined) {
      this.#options.unserved(address.entityType);
      shard.skip(address);
      return null;
    }
    const { rpc, refusal } = askedRpc(behavior, envelope);
    if (rpc === null) {
      // Newer code may have it. What is behind it does not wait for that.
      this.#options.unserved(`${address.entityType}.${tag}`);
      shard.skipRequest(pending.sequence, address);
      return null;
    }
    const found: Found = { pending, shard, behavior, rpc, withoutRoom };
    // Of a deep backlog most finds none, and is not parsed.
    const activation = this.#withRoom(found);
    if (activation === null) return null;
    // What an owner has accepted is handled, whatever its rpc has become since.
    if (refusal !== null && isUnseen(envelope) && pending.attempts === 0)
      return this.#place(found, activation, undefined, rejectionError(refusal, envelope));
    let input: unknown;
    try {
      input = acceptedInput(rpc, envelope);
    } catch (error) {
      return this.#place(found, activation, undefined, error);
    }
    if (input instanceof Promise) return this.#admitParsed(found, activation, input);
    return this.#place(found, activation, input, null);
  }

  async #admitParsed(found: Found, asked: Activation, parsing: Promise<unknown>): Promise<void> {
    let input: unknown;
    let inputError: unknown = null;
    try {
      input = await parsing;
    } catch (error) {
      inputError = error;
    }
    // Ownership is asked again before it is admitted (A1), and so is whether it came meanwhile (A3).
    const { pending, shard } = found;
    if (
      this.#options.servedShard(pending.envelope.address.shardId) !== shard ||
      this.#isTaken(pending, shard)
    )
      return this.#options.activations.leaveIfDone(asked);
    const activation = this.#withRoom(found);
    if (activation !== null) this.#place(found, activation, input, inputError);
  }

  #isTaken({ envelope }: PendingRequest, shard: HostedShard): boolean {
    return this.#options.requests.has(envelope.requestId) || shard.isHeldBack(envelope.address);
  }

  #withRoom({ pending, shard, behavior, withoutRoom }: Found): Activation | null {
    const { address, tag } = pending.envelope;
    const activation = this.#options.activations.activate(shard, behavior, address, tag);
    if (withoutRoom.has(activation.key)) {
      this.#options.activations.leaveIfDone(activation);
      return null;
    }
    if (!activation.isFull) return activation;
    activation.isBacklogged = true;
    withoutRoom.add(activation.key);
    return null;
  }

  /** @param inputError why it is not handled, which becomes its reply: who stored it could not tell. Null: it is */
  #place({ pending, shard, rpc }: Found, activation: Activation, input: unknown, inputError: unknown): null {
    const request = new HostedRequest(
      { envelope: pending.envelope, rpc, input },
      {
        attempts: pending.attempts,
        attemptIsRecorded: shard.takeAttempt(pending.envelope.requestId) && pending.attempts > 0,
        isAccepted: true,
      },
    );
    request.isFirst = request.attemptIsRecorded;
    request.inputError = inputError;
    request.sequence = pending.sequence;
    if (this.#options.waiters.isProtected(request.id)) request.isUninterruptible = true;
    this.#options.counters.accepted += 1;
    this.#options.newest.note(pending.envelope);
    this.#options.requests.set(request.id, request);
    activation.admit(request);
    return null;
  }
}
