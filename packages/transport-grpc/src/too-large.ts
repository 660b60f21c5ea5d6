// Too large: what becomes of a message that is larger than its receiver takes.

import { PayloadTooLargeError, type WireMessage } from "@holdfast/core/adapter";

export function tooLarge(
  message: WireMessage,
  payloadBytes: number,
  limitBytes: number,
): PayloadTooLargeError {
  return new PayloadTooLargeError({
    what: `A message (${message.type})`,
    payloadBytes,
    limitBytes,
    raise: "maxMessageBytes of each member's grpc()",
  });
}

/**
 * What goes in the place of an answer whose sender cannot be told any more: the handler has run, and its caller must not wait
 * for ever. The same that a sender makes of `error`. Null: it is no answer.
 */
export function inPlaceOf(message: WireMessage, error: PayloadTooLargeError): WireMessage | null {
  const requestId =
    message.type === "reply"
      ? message.reply.requestId
      : message.type === "chunk"
        ? message.chunk.requestId
        : null;
  if (requestId === null) return null;
  const { name, code, retryable } = error;
  const data = JSON.stringify({ retryable });
  const encoded = { name, message: error.message, code, stack: null, data, cause: null, own: true };
  return { type: "reply", reply: { requestId, exit: { ok: false, error: encoded } } };
}
