// RequestRow: how requests and what is known of them come out of the database; those that wait: pending-rows.ts.
//
// `pg` gives a bigint as text and PGlite as a number: both fit into a number here, sequences and times alike.

import type {
  DeadLetter,
  EncodedError,
  Envelope,
  Reply,
  RequestState,
  ShardId,
} from "@holdfast/core/adapter";

type Bigint = string | number | bigint;

export interface EnvelopeRow {
  readonly request_id: string;
  readonly shard_id: string;
  readonly entity_type: string;
  readonly entity_id: string;
  readonly tag: string;
  readonly deduplication_key: string | null;
  readonly payload: string;
  readonly headers: string;
  readonly expects: string;
  readonly uninterruptible: boolean;
  readonly from_inside: boolean;
  readonly read_pending_first: boolean;
  readonly sender: string;
  readonly deliver_at: Bigint | null;
}

/** Of an answered request `ok` and `data` are given, of a dead one `error` and what belongs to it, the payload included. */
export interface StateRow extends EnvelopeRow {
  readonly sequence: Bigint;
  readonly attempts: number | null;
  readonly due_at: Bigint | null;
  readonly ok: boolean | null;
  readonly data: string | null;
  readonly dead_attempts: number | null;
  readonly error: string | null;
  readonly dead_since: Bigint | null;
}

export interface DeadLetterRow extends EnvelopeRow {
  readonly dead_attempts: number;
  readonly error: string;
  readonly dead_since: Bigint;
}

export function envelopeOf(row: EnvelopeRow): Envelope {
  return {
    requestId: row.request_id,
    address: { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id as ShardId },
    tag: row.tag,
    payload: row.payload,
    headers: JSON.parse(row.headers) as Record<string, string>,
    persisted: true,
    expects: row.expects as Envelope["expects"],
    deduplicationKey: row.deduplication_key,
    deliverAt: numberOf(row.deliver_at),
    uninterruptible: row.uninterruptible,
    fromInside: row.from_inside,
    sender: row.sender,
    readPendingFirst: row.read_pending_first,
  };
}

export function deadLetterOf(row: DeadLetterRow): DeadLetter {
  const { dead_attempts: attempts, error, dead_since: deadSince } = row;
  return {
    envelope: envelopeOf(row),
    attempts,
    error: JSON.parse(error) as EncodedError,
    deadSince: Number(deadSince),
  };
}

export function stateOf(row: StateRow): RequestState {
  const requestId = row.request_id;
  if (row.ok !== null)
    return { state: "answered", requestId, reply: replyOf(requestId, row.ok, row.data ?? "") };
  if (row.error !== null) return { state: "dead", requestId, deadLetter: deadLetterOf(row as DeadLetterRow) };
  return { state: "pending", requestId, deliverAt: numberOf(row.due_at), attempts: row.attempts ?? 0 };
}

function replyOf(requestId: string, ok: boolean, data: string): Reply {
  return { requestId, exit: ok ? { ok, value: data } : { ok, error: JSON.parse(data) as EncodedError } };
}

export function numberOf(value: Bigint | null): number | null {
  return value === null ? null : Number(value);
}
