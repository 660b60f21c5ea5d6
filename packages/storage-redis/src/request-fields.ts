// RequestFields: a request as the fields of one hash, and back.
//
// The scripts read and write single fields of it; what they never look at is together in `rest`.

import type {
  DeadLetter,
  EncodedError,
  Envelope,
  Reply,
  RequestState,
  ShardId,
} from "@holdfast/core/adapter";

/** All fields, in the order in which scripts return them. A field that is not there comes back as null. */
export const REQUEST_FIELDS = [
  "requestId",
  "shard",
  "type",
  "id",
  "tag",
  "key",
  "payload",
  "rest",
  "sequence",
  "attempts",
  "due",
  "state",
  "ok",
  "data",
  "answered",
  "error",
  "dead",
] as const;

/** A request as scripts return it: a list of fields. */
export type RequestRow = readonly (string | null)[];

type Fields = Readonly<Record<(typeof REQUEST_FIELDS)[number], string | null>>;

/** The fields of an envelope that no script looks at, as JSON. */
type Rest = Pick<
  Envelope,
  "headers" | "expects" | "deliverAt" | "uninterruptible" | "fromInside" | "sender" | "readPendingFirst"
>;

export function restOf(envelope: Envelope): string {
  const rest: Rest = {
    headers: envelope.headers,
    expects: envelope.expects,
    deliverAt: envelope.deliverAt,
    uninterruptible: envelope.uninterruptible,
    fromInside: envelope.fromInside,
    sender: envelope.sender,
    readPendingFirst: envelope.readPendingFirst,
  };
  return JSON.stringify(rest);
}

/** A time as a field: empty where there is none. */
export function dueField(deliverAt: number | null): string {
  return deliverAt === null ? "" : String(deliverAt);
}

export function fieldsOf(row: RequestRow): Fields {
  return Object.fromEntries(REQUEST_FIELDS.map((name, index) => [name, row[index] ?? null])) as Fields;
}

export function envelopeOf(fields: Fields): Envelope {
  const rest = JSON.parse(fields.rest ?? "{}") as Rest;
  return {
    requestId: fields.requestId ?? "",
    address: {
      entityType: fields.type ?? "",
      entityId: fields.id ?? "",
      shardId: fields.shard as ShardId,
    },
    tag: fields.tag ?? "",
    payload: fields.payload ?? "",
    persisted: true,
    deduplicationKey: fields.key,
    ...rest,
  };
}

export function stateOf(fields: Fields): RequestState {
  const requestId = fields.requestId ?? "";
  if (fields.state === "answered") {
    return { state: "answered", requestId, reply: replyOf(requestId, fields.ok, fields.data) };
  }
  if (fields.state === "dead") return { state: "dead", requestId, deadLetter: deadLetterOf(fields) };
  return {
    state: "pending",
    requestId,
    deliverAt: numberOf(fields.due),
    attempts: Number(fields.attempts),
  };
}

export function deadLetterOf(fields: Fields): DeadLetter {
  return {
    envelope: envelopeOf(fields),
    attempts: Number(fields.attempts),
    error: JSON.parse(fields.error ?? "null") as EncodedError,
    deadSince: Number(fields.dead),
  };
}

/** @param ok `"1"` where `data` is the value, else it is the error */
export function replyOf(requestId: string, ok: string | null, data: string | null): Reply {
  return {
    requestId,
    exit:
      ok === "1"
        ? { ok: true, value: data ?? "" }
        : { ok: false, error: JSON.parse(data ?? "null") as EncodedError },
  };
}

/** A field that holds a number, or nothing. */
export function numberOf(field: string | null): number | null {
  return field === null || field === "" ? null : Number(field);
}
