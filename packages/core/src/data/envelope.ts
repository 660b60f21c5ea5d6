import { entityKey, type EntityAddress } from "./entity-address.ts";

/** What the names of headers begin with that the library gives a request. Callers give it none of these. */
export const OWN_PREFIX = "holdfast-";

/** The header of a request whose sender is patient. */
export const PATIENT_HEADER = "holdfast-patient";

/** A request on its way. Plain data: it is sent, stored and compared as it stands. */
export interface Envelope {
  /** Unique for ever. A repeated request has the same id, and runs once if it is persisted. */
  readonly requestId: string;
  readonly address: EntityAddress;
  /** The rpc's name. */
  readonly tag: string;
  /** The encoded input (contract/payload.ts). */
  readonly payload: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly persisted: boolean;
  /** What the sender waits for: the reply, a stream of chunks and then the reply, or only that it is accepted. */
  readonly expects: "reply" | "stream" | "acceptance";
  /** A persisted request with the same entity, tag and key is the same request, whatever its id. */
  readonly deduplicationKey: string | null;
  /** Not handled before this wall time, in milliseconds since 1970. Persisted requests only. */
  readonly deliverAt: number | null;
  /** Runs to its end although the caller left, timed out or aborted. */
  readonly uninterruptible: boolean;
  /** Sent by a handler, an activity or a workflow, which may call protected rpcs. */
  readonly fromInside: boolean;
  /** The member that first sent it. INV-4 is per sender and entity. */
  readonly sender: string;
  /** The sender has written to storage for this shard while no owner was to be had: read what is pending before this. */
  readonly readPendingFirst: boolean;
}

/** What is called, for messages: `Counter/a.increment`. */
export function describeCall({ address, tag }: Pick<Envelope, "address" | "tag">): string {
  return `${entityKey(address)}.${tag}`;
}

/** Whether its sender waits for the reply also where others are told that it is in vain for now. */
export function isPatient({ headers }: Envelope): boolean {
  return PATIENT_HEADER in headers;
}

/** The header of a request that only joins the one of its key: where there is none, it is not one itself. */
export const JOINING_HEADER = "holdfast-joining";

export function isJoining({ headers }: Envelope): boolean {
  return JOINING_HEADER in headers;
}

/** The header of a request that its sender stored: no runner that serves its type has seen it yet. */
const UNSEEN_HEADER = "holdfast-unseen";

/** A request as its sender stores it. */
export function asUnseen(envelope: Envelope): Envelope {
  return { ...envelope, headers: { ...envelope.headers, [UNSEEN_HEADER]: "" } };
}

export function isUnseen({ headers }: Envelope): boolean {
  return UNSEEN_HEADER in headers;
}

/** The headers that its caller gave it, who may pass them on: without any of the library's own, also of another version. */
export function givenHeaders({ headers }: Envelope): Readonly<Record<string, string>> {
  if (!Object.keys(headers).some(isOwn)) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isOwn(name)));
}

function isOwn(name: string): boolean {
  return name.startsWith(OWN_PREFIX);
}

/** A persisted request as storage hands it back to the owner of its shard. */
export interface PendingRequest {
  /** As it was accepted: what put the request off, or made it due, is not in its `deliverAt`, which handlers are told. */
  readonly envelope: Envelope;
  /** Raised with each acceptance in the storage; the order in which requests of one entity are handled (INV-4). */
  readonly sequence: number;
  /** How many attempts have begun. */
  readonly attempts: number;
}
