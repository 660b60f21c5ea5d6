// StoreAndForward: the way round by storage. A sender that finds no owner stores a persisted request itself, where the next
// owner finds it, and looks its reply up there.
//
//   S1  After this sender stored a request of a shard, its requests for that shard tell the owner to read first, until one
//       that was sent after the store was taken in: so the owner handles them in the order in which they were accepted
//       (INV-4), whichever of them is lost on the way.
//   S2  Where the answer of an owner is lost, too, the reply is looked up for as long as anybody waits for it.
//   S3  An owner that refuses what is in storage handles it later, or answers it there: it is sent to the next owner only.
//   S4  Who is told that nothing was written may call again under another id. So nobody is told that of a request which an owner
//       may have accepted, or a try of this sender's may have written.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage, RequestState } from "../adapter/message-storage.ts";
import { Outage } from "../clock/outage.ts";
import { sleep } from "../clock/sleep.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import { asUnseen, isJoining, type Envelope } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Rejected, RejectionCode } from "../data/wire-message.ts";
import { isNotWritten, PersistenceError } from "../errors/storage.ts";
import { absent } from "./answers.ts";
import { retryDelayMs, type Outgoing } from "./outgoing.ts";
import type { OutgoingRequests } from "./outgoing-requests.ts";
import { rejectionError } from "./rejection.ts";

export interface StoreAndForwardOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Tries of a store after the first. */
  readonly sendRetryCount: number;
  readonly pollIntervalMs: number;
  /** All requests of this sender, by their ids, while anybody waits for them. */
  readonly outgoing: OutgoingRequests;
  /** A request was stored for this shard. */
  readonly stored: (shardId: ShardId) => void;
  /** Storage knows this of the request, which it had before or was asked about. */
  readonly found: (outgoing: Outgoing, state: RequestState) => void;
  /** Where the shard's owner is: an address, `HERE`, or undefined while there is none. */
  readonly ownerOf: (shardId: ShardId) => string | undefined;
  /** Whether some member of the shard's group says that it serves the entity's type. */
  readonly serves: (address: EntityAddress) => boolean;
  /** No owner has it. There may be one now, which answers without a look at storage. */
  readonly forward: (outgoing: Outgoing) => void;
  readonly failed: (outgoing: Outgoing, error: Error) => void;
}

/** Who left a request to storage has left itself. */
const GONE = "";

export class StoreAndForward {
  readonly #options: StoreAndForwardOptions;
  /** Of replies that are looked up. */
  readonly #outage: Outage;
  /** Of requests that are looked up before they are stored. */
  readonly #unfound: Outage;
  /** Those that could not be until now. */
  readonly #unfoundIds = new Set<string>();
  /** Shards for which this sender stored a request that their owner may not have seen, and the last such store (S1). */
  readonly #storedFor = new Map<ShardId, number>();
  #stores = 0;
  #poll: Timer | undefined;
  #isClosed = false;

  constructor(options: StoreAndForwardOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#outage = new Outage({ clock, logger, ended: "No reply is left that could not be looked up" });
    this.#unfound = new Outage({ clock, logger, ended: "No request is left that could not be looked up" });
  }

  /** Whether it is stored where its owner does not have its code: in a rolling deploy another member has, or will. */
  waitsForItsType({ envelope, isKept }: Outgoing): boolean {
    return envelope.persisted && (isKept || this.#options.serves(envelope.address));
  }

  /** The store up to which the shard's owner is to read before it takes this request, or null (S1). */
  readsUpTo({ envelope, storedAs }: Outgoing): number | null {
    if (!envelope.persisted || storedAs !== null) return null;
    return this.#storedFor.get(envelope.address.shardId) ?? null;
  }

  /** Its owner took it in, and has read first if it was told to. */
  takenIn({ envelope, readsUpTo }: Outgoing): void {
    const { shardId } = envelope.address;
    if (readsUpTo !== null && this.#storedFor.get(shardId) === readsUpTo) this.#storedFor.delete(shardId);
  }

  /**
   * Stores a request, which accepts it, and tells its owner, if there is one. Never rejects: it fails where it cannot be stored,
   * and the last try alone does not say that nothing was (S4).
   */
  async store(outgoing: Outgoing): Promise<void> {
    const { envelope, listener } = outgoing;
    if (isJoining(envelope)) return this.leave(outgoing, null);
    const { shardId } = envelope.address;
    const { messages, clock, sendRetryCount } = this.#options;
    outgoing.isStoring = true;
    // Whoever it is sent to from here on may find it in storage.
    outgoing.sendings += 1;
    // Noted before the write: whatever its outcome, the owner is to read before it takes this sender's next request.
    this.#note(shardId);
    let failure: unknown;
    for (let failures = 0; failures <= sendRetryCount && this.#isAwaited(outgoing); failures += 1) {
      if (failures > 0) await sleep(clock, retryDelayMs(failures));
      try {
        const saved = await messages.saveRequest(asUnseen(envelope), 0, null);
        outgoing.isStoring = false;
        // Noted again: what the owner read while the write was under way does not count.
        this.#note(shardId);
        if (!this.#isAwaited(outgoing)) return;
        outgoing.storedAs = saved.outcome === "duplicate" ? saved.existing.requestId : envelope.requestId;
        listener.accepted();
        if (saved.outcome === "duplicate") this.#options.found(outgoing, saved.existing);
        else this.#options.stored(shardId);
        this.#schedulePoll();
        return;
      } catch (error) {
        failure = error;
        if (!isNotWritten(error)) outgoing.mayBeAccepted = true;
      }
    }
    outgoing.isStoring = false;
    this.#options.failed(outgoing, notStored(failure, outgoing));
  }

  /**
   * Leaves a request that its owner refused to storage: once found there, its reply is looked up (S3). What is not there is
   * refused, and what can be there by its key alone fails where that cannot be seen. Never rejects.
   *
   * @param refusal null: of what only joins, which nobody has refused
   */
  async leave(outgoing: Outgoing, refusal: Rejected | null): Promise<void> {
    const { envelope } = outgoing;
    const byKeyAlone = !mayBeInStorage(outgoing);
    // What is streamed meanwhile comes from the owner alone: it is asked again.
    outgoing.leftBy = envelope.expects === "stream" ? null : outgoing.target;
    outgoing.target = null;
    // Who refuses it may not have read: a reply that is found says nothing of that (S1).
    outgoing.readsUpTo = null;
    if (outgoing.storedAs !== null || outgoing.isStoring) return;
    outgoing.isStoring = true;
    let state: RequestState | null | undefined;
    try {
      state = await this.#find(
        envelope,
        byKeyAlone ? this.#options.sendRetryCount : Number.POSITIVE_INFINITY,
      );
    } catch (error) {
      return this.#options.failed(outgoing, error instanceof Error ? error : new Error(String(error)));
    } finally {
      outgoing.isStoring = false;
    }
    // Looking may have taken long: nobody may wait any more.
    if (state === undefined || !this.#isAwaited(outgoing)) return;
    if (state !== null) {
      outgoing.storedAs = state.requestId;
      outgoing.listener.accepted();
      this.#options.found(outgoing, state);
      return this.#schedulePoll();
    }
    if (refusal === null || isJoining(envelope)) return this.#options.failed(outgoing, absent(envelope));
    const { code } = refusal;
    // A write of unknown outcome may still come; under its id it is there once.
    if (code === "MAILBOX_FULL" || (code === "UNKNOWN_ENTITY" && this.waitsForItsType(outgoing)))
      return this.store(outgoing);
    this.#options.failed(outgoing, rejectionError(refusal, envelope));
  }

  /**
   * What storage knows of a request, or undefined where nobody waits for it any more.
   *
   * @param retries tries after the first
   * @throws why the last of them failed
   */
  async #find(envelope: Envelope, retries: number): Promise<RequestState | null | undefined> {
    const { messages, clock, pollIntervalMs, outgoing } = this.#options;
    const { requestId, address, tag, deduplicationKey: key } = envelope;
    try {
      for (let failures = 0; outgoing.has(requestId) && !this.#isClosed; failures += 1) {
        try {
          const [own] = await messages.lookUp([requestId]);
          return own ?? (key === null ? null : await messages.lookUpByKey(address, tag, key));
        } catch (error) {
          if (failures >= retries) throw error;
          this.#unfoundIds.add(requestId);
          this.#unfound.failed("A request could not be looked up; it is tried again", {
            requestId,
            error: String(error),
          });
          await sleep(clock, pollIntervalMs);
        }
      }
    } finally {
      this.#unfoundIds.delete(requestId);
      if (this.#unfoundIds.size === 0) this.#unfound.succeeded();
    }
    return undefined;
  }

  /** The members changed: what waits for an owner may have one now. */
  forwardAll(): void {
    for (const outgoing of this.#options.outgoing.values())
      if (outgoing.storedAs !== null && outgoing.target === null) this.#forward(outgoing);
  }

  close(): void {
    this.#isClosed = true;
    this.#poll?.cancel();
  }

  #schedulePoll(): void {
    if (this.#isClosed || this.#poll !== undefined) return;
    this.#poll = this.#options.clock.setTimer(this.#options.pollIntervalMs, () => void this.#lookUp());
  }

  async #lookUp(): Promise<void> {
    try {
      const ids = new Set(this.#stored().map(({ storedAs }) => storedAs ?? ""));
      const states = await this.#options.messages.lookUp([...ids]);
      const byId = new Map(states.map((state) => [state.requestId, state]));
      // Some were answered meanwhile, and others stored.
      for (const outgoing of this.#stored()) {
        const state = byId.get(outgoing.storedAs ?? "");
        if (state !== undefined) this.#options.found(outgoing, state);
        else if (ids.has(outgoing.storedAs ?? "")) this.#absent(outgoing);
      }
      this.#outage.succeeded();
    } catch (error) {
      this.#outage.failed("Replies could not be looked up; the next poll tries again", {
        error: String(error),
      });
    }
    this.#poll = undefined;
    this.forwardAll();
    if (this.#stored().length > 0) this.#schedulePoll();
    else this.#outage.succeeded();
  }

  #forward(outgoing: Outgoing): void {
    if (outgoing.leftBy !== null) {
      const owner = this.#options.ownerOf(outgoing.envelope.address.shardId);
      if (owner === outgoing.leftBy) return;
      if (owner === undefined) {
        // The next one may have the same address.
        outgoing.leftBy = GONE;
        return;
      }
    }
    this.#options.forward(outgoing);
  }

  /** It was dropped, or is forgotten. Unless it was left there, or only looked up, its owner says so. */
  #absent(outgoing: Outgoing): void {
    if (outgoing.leftBy === null && !isJoining(outgoing.envelope)) return;
    this.#options.failed(outgoing, absent(outgoing.envelope));
  }

  #stored(): readonly Outgoing[] {
    return [...this.#options.outgoing.values()].filter(({ storedAs }) => storedAs !== null);
  }

  #isAwaited({ envelope }: Outgoing): boolean {
    return this.#options.outgoing.has(envelope.requestId);
  }

  #note(shardId: ShardId): void {
    this.#stores += 1;
    this.#storedFor.set(shardId, this.#stores);
  }
}

/** Why a request could not be stored, with what is known of all that was tried before (S4). */
function notStored(failure: unknown, { mayBeAccepted }: Outgoing): Error {
  if (!(failure instanceof Error)) return new Error(String(failure));
  if (!mayBeAccepted || !isNotWritten(failure)) return failure;
  return maybeStored(failure, failure.detail);
}

/** What is said of a request that cannot be sent on, or stored, and may have been accepted before (S4). */
export function maybeStored(cause: Error, detail: string): PersistenceError {
  return new PersistenceError({ operation: "saveRequest", outcome: "unknown", detail }, { cause });
}

/** Whether a request may be in storage, by this sender or by an owner. */
export function mayBeInStorage({ storedAs, isStoring, mayBeAccepted }: Outgoing): boolean {
  return storedAs !== null || isStoring || mayBeAccepted;
}

/**
 * Whether a refusal of what is in storage says nothing of what becomes of it: who has no room for it now, or not its code, handles
 * it later, and a refusal that is final becomes its reply there. The reply of a stream comes from its owner alone.
 */
export function isLeftToStorage({ expects }: Envelope, code: RejectionCode): boolean {
  switch (code) {
    case "UNKNOWN_ENTITY":
    case "UNKNOWN_RPC":
    case "MAILBOX_FULL":
      return true;
    case "INVALID_INPUT":
    case "PROTECTED_RPC":
      return expects !== "stream";
    default:
      return false;
  }
}
