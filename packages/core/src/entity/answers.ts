// What a runner says to who waits, besides what the handler said.

import type { RequestState } from "../adapter/message-storage.ts";
import { encodeError, UNSENT } from "../contract/error-codec.ts";
import { plainIssues } from "../contract/issues.ts";
import { entityKey } from "../data/entity-address.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { InterruptedError, InvalidInputError } from "../errors/routing.ts";
import { DeadLetteredError, type PayloadTooLargeError } from "../errors/storage.ts";

/** The reply to a request that is a dead letter. */
export function deadReply(
  requestId: string,
  envelope: Envelope,
  letter: { attempts: number; reason: string },
): Reply {
  const error = new DeadLetteredError({ requestId, what: describeCall(envelope), ...letter });
  return { requestId, exit: { ok: false, error: encodeError(error, { exposeStacks: false }) } };
}

/** What those who wait for a request are told that has ended, as storage has it. */
export function endOf(state: Exclude<RequestState, { state: "pending" }>, envelope: Envelope): Reply {
  if (state.state === "answered") return state.reply;
  const { attempts, error } = state.deadLetter;
  return deadReply(state.requestId, envelope, { attempts, reason: error.message });
}

/** The reply to a volatile request whose handler was cut short because its shard left. */
export function movedReply(envelope: Envelope, why: string): Reply {
  const error = new InterruptedError({ what: describeCall(envelope), why });
  return {
    requestId: envelope.requestId,
    exit: { ok: false, error: encodeError(error, { exposeStacks: false }) },
  };
}

/** @param chunkCount of a persisted stream: how many chunks came before its end */
export function replyMessage(reply: Reply, chunkCount: number): WireMessage {
  const isSaidByEnd = reply.exit.ok || chunkCount === 0;
  return isSaidByEnd ? { type: "reply", reply } : { type: "reply", reply, chunkCount };
}

/** To who waits in vain for a request that was put off. It is no reply of the request's: that may still come. */
export function failure(requestId: string, error: EncodedError): WireMessage {
  return { type: "reply", reply: { requestId, exit: { ok: false, error } } };
}

/**
 * What goes in the place of an answer that does not fit through: the handler has run, and its caller must not wait for ever. Null: it
 * is no answer.
 */
export function inPlaceOf(message: WireMessage, error: PayloadTooLargeError): WireMessage | null {
  const requestId =
    message.type === "reply"
      ? message.reply.requestId
      : message.type === "chunk"
        ? message.chunk.requestId
        : null;
  if (requestId === null) return null;
  return failure(requestId, encodeError(Object.assign(error, { [UNSENT]: true }), { exposeStacks: false }));
}

/** What an answer to another request looks like to who asked under `requestId`, the duplicate's id. */
export function readdress(message: WireMessage, requestId: string): WireMessage {
  switch (message.type) {
    case "reply":
      return { ...message, reply: { ...message.reply, requestId } };
    case "chunk":
      return { ...message, chunk: { ...message.chunk, requestId } };
    case "accepted":
    case "rejected":
      return { ...message, requestId };
    default:
      return message;
  }
}

/** The detail of an INVALID_INPUT rejection: the schema's issues as JSON. Never throws, whatever the schema threw or gave. */
export function describeInvalidInput(thrown: unknown): string {
  let message = "it could not be parsed";
  try {
    const issues = thrown instanceof InvalidInputError ? thrown.issues : [];
    if (issues.length > 0) return JSON.stringify(plainIssues(issues));
    if (isHoldfastError(thrown)) ({ message } = thrown);
  } catch {
    // A proxy, or issues with getters: no more can be said of it, and its sender is not to wait for ever.
  }
  return JSON.stringify([{ message }]);
}

/** `Counter/a.increment`, for messages. */
export function describeCall(envelope: Envelope): string {
  return `${entityKey(envelope.address)}.${envelope.tag}`;
}

/** To who reads a stream of which storage keeps what it could not give: it asks again. */
export function chunksUnread(requestId: string): WireMessage {
  return {
    type: "rejected",
    requestId,
    code: "PERSISTENCE",
    detail: "the kept chunks of the stream could not be read",
  };
}

/** What a request came to that is in storage no longer, or never was. */
export function absent(envelope: Envelope): InterruptedError {
  const why = "its request is in storage no longer: it was dropped, or is forgotten";
  return new InterruptedError({ what: describeCall(envelope), why });
}

// Senders compare these two, those of other versions, too: they stay as they are.

/** The detail of a NOT_ASSIGNED rejection of what was accepted, or may have been. */
export const ACCEPTED_BEFORE = "it was accepted, and its shard is at another runner now";
/** The detail of a PERSISTENCE rejection by who has not tried to accept anything. */
export const OUT_OF_REACH = "storage or leases are out of its reach";

/** Whoever asks the shard's next owner finds it. */
export function notHere(requestId: string, detail: string): WireMessage {
  return { type: "rejected", requestId, code: "NOT_ASSIGNED", detail };
}
