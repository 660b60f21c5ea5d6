import type { EncodedError } from "../data/encoded-error.ts";
import { DeadLetteredError, PayloadTooLargeError } from "../errors/storage.ts";
import { decodeError, UNSENT } from "./error-codec.ts";
import type { ErrorClass } from "./rpc.ts";

const ANSWER = Symbol("answer");

/** What a request failed with, as its caller catches it, noted to be its answer and not what kept its caller from hearing of it. */
export function answerOf(encoded: EncodedError, classes: readonly ErrorClass[], call: string | null): Error {
  const error = decodeError(encoded, classes);
  // Requeued, a dead letter comes to something else. One of another call, which the handler made, is the handler's answer.
  const isOwnLetter = error instanceof DeadLetteredError && error.call === call;
  const isUnsent = error instanceof PayloadTooLargeError && UNSENT in error;
  return isOwnLetter || isUnsent ? error : Object.defineProperty(error, ANSWER, { value: true });
}

/**
 * Whether it is what a handler or an execution came to, and not what kept its caller from hearing of it: asked for again under its
 * key, the request answers the same.
 */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && ANSWER in error;
}
