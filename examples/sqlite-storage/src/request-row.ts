// RequestRow: how requests and what is known of them come out of the table.

import type {
  DeadLetter,
  EncodedError,
  Envelope,
  Reply,
  RequestState,
  ShardId,
} from "@holdfast/core/adapter";
import type { SqlValue } from "./sqlite-connection.ts";

export interface RequestRow {
  readonly sequence: number;
  readonly request_id: string;
  readonly shard_id: string;
  readonly entity_type: string;
  readonly entity_id: string;
  readonly tag: string;
  readonly deduplication_key: string | null;
  readonly headers: string;
  readonly expects: string;
  readonly uninterruptible: number;
  readonly from_inside: number;
  readonly read_pending_first: number;
  readonly sender: string;
  readonly deliver_at: number | null;
  readonly state: RequestState["state"];
  readonly attempts: number;
  readonly due_at: number | null;
  readonly ended_at: number | null;
  readonly is_ok: number | null;
  readonly chunks_saved: number;
  readonly chunks_acknowledged: number;
  readonly outcome: string | null;
  readonly payload: string;
}

/** The columns of a new request, as parameters of the same names. */
export function columnsOf(envelope: Envelope): Record<string, SqlValue> {
  const { address } = envelope;
  return {
    request_id: envelope.requestId,
    shard_id: address.shardId,
    entity_type: address.entityType,
    entity_id: address.entityId,
    tag: envelope.tag,
    deduplication_key: envelope.deduplicationKey,
    headers: JSON.stringify(envelope.headers),
    expects: envelope.expects,
    uninterruptible: Number(envelope.uninterruptible),
    from_inside: Number(envelope.fromInside),
    read_pending_first: Number(envelope.readPendingFirst),
    sender: envelope.sender,
    deliver_at: envelope.deliverAt,
    payload: envelope.payload,
  };
}

export function envelopeOf(row: RequestRow): Envelope {
  return {
    requestId: row.request_id,
    address: { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id as ShardId },
    tag: row.tag,
    payload: row.payload,
    headers: JSON.parse(row.headers) as Record<string, string>,
    persisted: true,
    expects: row.expects as Envelope["expects"],
    deduplicationKey: row.deduplication_key,
    deliverAt: row.deliver_at,
    uninterruptible: row.uninterruptible === 1,
    fromInside: row.from_inside === 1,
    sender: row.sender,
    readPendingFirst: row.read_pending_first === 1,
  };
}

export function stateOf(row: RequestRow): RequestState {
  const requestId = row.request_id;
  switch (row.state) {
    case "pending":
      return { state: "pending", requestId, deliverAt: row.due_at, attempts: row.attempts };
    case "answered":
      return { state: "answered", requestId, reply: replyOf(row) };
    case "dead":
      return { state: "dead", requestId, deadLetter: deadLetterOf(row) };
  }
}

/** Of an answered request. */
export function replyOf(row: RequestRow): Reply {
  const outcome = row.outcome ?? "";
  const exit: Reply["exit"] =
    row.is_ok === 1
      ? { ok: true, value: outcome }
      : { ok: false, error: JSON.parse(outcome) as EncodedError };
  return { requestId: row.request_id, exit };
}

/** Of a dead request. */
export function deadLetterOf(row: RequestRow): DeadLetter {
  return {
    envelope: envelopeOf(row),
    attempts: row.attempts,
    error: JSON.parse(row.outcome ?? "") as EncodedError,
    deadSince: row.ended_at ?? 0,
  };
}
