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
