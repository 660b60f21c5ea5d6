// Answers: the replies that a runner makes itself, in place of what a handler said. How it refuses is in rejection.ts.

import type { RequestState } from "../adapter/message-storage.ts";
import { beginningOf } from "../contract/beginning.ts";
import { encodeError, UNSENT } from "../contract/error-codec.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { InterruptedError } from "../errors/routing.ts";
import { DeadLetteredError, type PayloadTooLargeError } from "../errors/storage.ts";

/** So much of what its last attempt failed with a dead letter's caller is told, in characters. */
const MOST_OF_A_REASON = 2_000;

/** The reply to a request that is a dead letter. */
export function deadReply(
  requestId: string,
  envelope: Envelope,
  { attempts, reason: whole }: { attempts: number; reason: string },
): Reply {
  const reason = beginningOf(whole, MOST_OF_A_REASON);
  const error = new DeadLetteredError({ requestId, what: describeCall(envelope), attempts, reason });
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
 * What goes in the place of an answer that does not fit through: the handler has run, and its caller must not wait for ever. Of a
 * refusal it is the same without its details. Null: it is no answer.
 */
export function inPlaceOf(message: WireMessage, error: PayloadTooLargeError): WireMessage | null {
  if (message.type === "rejected") return message.detail === "" ? null : { ...message, detail: "" };
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

/** What a request came to that is in storage no longer, or never was. */
export function absent(envelope: Envelope): InterruptedError {
  const why = "its request is in storage no longer: it was dropped, or is forgotten";
  return new InterruptedError({ what: describeCall(envelope), why });
}

/** To who waits for such a request. */
export function absence(envelope: Envelope): WireMessage {
  return failure(envelope.requestId, encodeError(absent(envelope), { exposeStacks: false }));
}
