// MemoryRequests: the table of a memory storage's requests, and the ways to find one.
//
// Knows nothing of fences, of what is due or of retention: that is memory-messages.ts and memory-executions.ts.
//
//   R1  A request is found under its id, in its entity and, if it has a deduplication key, under that, until it is removed.
//   R2  Requests of one entity are in the order of their sequences, which is that of their acceptance.

import type { RequestState } from "../adapter/message-storage.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { DeadLetter } from "../data/dead-letter.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { PendingEntry } from "./pending-index.ts";

export interface RequestRecord extends PendingEntry {
  readonly envelope: Envelope;
  attempts: number;
  outcome: RequestOutcome | null;
  stream: StreamRecord | null;
}

/** How a request ended; null while it is pending. */
export type RequestOutcome =
  | { readonly state: "answered"; readonly reply: Reply; readonly answeredAt: number }
  | { readonly state: "dead"; readonly deadLetter: DeadLetter };

export interface StreamRecord {
  /** Kept chunks by index. */
  readonly chunks: Map<number, Chunk>;
  saved: number;
  acknowledged: number;
}

type Entity = Pick<EntityAddress, "entityType" | "entityId">;

export class MemoryRequests {
  readonly #requests = new Map<string, RequestRecord>();
  readonly #keys = new Map<string, RequestRecord>();
  readonly #entities = new Map<string, Set<RequestRecord>>();
  #lastSequence = 0;

  /** The request that this one is, under its id or its key. */
  same(envelope: Envelope): RequestRecord | undefined {
    const { requestId, address, tag, deduplicationKey } = envelope;
    const known = this.#requests.get(requestId);
    if (known !== undefined || deduplicationKey === null) return known;
    return this.withKey(address, tag, deduplicationKey);
  }

  /** Takes in a request that is none of those here. */
  add(envelope: Envelope, attempts: number): RequestRecord {
    const record: RequestRecord = {
      envelope,
      sequence: (this.#lastSequence += 1),
      attempts,
      deliverAt: envelope.deliverAt,
      outcome: null,
      stream: null,
      place: "none",
    };
    const { requestId, address, tag, deduplicationKey } = envelope;
    this.#requests.set(requestId, record);
    if (deduplicationKey !== null) this.#keys.set(keyOf(address, tag, deduplicationKey), record);
    const entity = entityKey(address);
    const requests = this.#entities.get(entity);
    if (requests === undefined) this.#entities.set(entity, new Set([record]));
    else requests.add(record);
    return record;
  }

  get(requestId: string): RequestRecord | undefined {
    return this.#requests.get(requestId);
  }

  withKey(entity: Entity, tag: string, deduplicationKey: string): RequestRecord | undefined {
    return this.#keys.get(keyOf(entity, tag, deduplicationKey));
  }

  /** A copy: requests may be removed while it is gone through. */
  of(entity: Entity): readonly RequestRecord[] {
    return [...(this.#entities.get(entityKey(entity)) ?? [])];
  }

  all(): Iterable<RequestRecord> {
    return this.#requests.values();
  }

  remove(record: RequestRecord): void {
    const { requestId, address, tag, deduplicationKey } = record.envelope;
    this.#requests.delete(requestId);
    if (deduplicationKey !== null) this.#keys.delete(keyOf(address, tag, deduplicationKey));
    const entity = entityKey(address);
    const requests = this.#entities.get(entity);
    requests?.delete(record);
    if (requests?.size === 0) this.#entities.delete(entity);
  }
}

export function stateOf(record: RequestRecord): RequestState {
  const { requestId } = record.envelope;
  if (record.outcome === null) {
    return { state: "pending", requestId, deliverAt: record.deliverAt, attempts: record.attempts };
  }
  return record.outcome.state === "answered"
    ? { state: "answered", requestId, reply: record.outcome.reply }
    : { state: "dead", requestId, deadLetter: record.outcome.deadLetter };
}

/** Types and tags are checked names without `/`, and the length says where the id ends: no two keys share one. */
function keyOf(entity: Entity, tag: string, deduplicationKey: string): string {
  return `${entity.entityType}/${tag}/${entity.entityId.length}/${entity.entityId}/${deduplicationKey}`;
}
