import { encodeError, short, shortened } from "../contract/error-codec.ts";
import { takesAtMost } from "../contract/key.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import { describeCall } from "../data/envelope.ts";
import type { Exit } from "../data/reply.ts";
import { InterruptedError } from "../errors/routing.ts";
import type { HostedRequest } from "./hosted-request.ts";

export interface ErrorLimits {
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
}

/**
 * What the fields of an error that is too large, and those of each of its causes, may take of the limit: the first share with which
 * it fits. An error of the library's needs its own, as what was not undone.
 */
const SHARES_FOR_FIELDS: readonly number[] = [1 / 2, 1 / 8, 1 / 32, 0];

type FailedExit = Exit & { ok: false };

/** What a request whose handler threw is answered with. One that was to end was interrupted, whatever it threw. */
export function exitOfThrown(request: HostedRequest, error: unknown, limits: ErrorLimits): FailedExit {
  const { ended } = request;
  return failedExit(request, ended === null ? error : interruption(request, ended.why, error), limits);
}

/** The exit of a request that fails with this error. */
export function failedExit(
  { envelope }: HostedRequest,
  error: unknown,
  { exposeStacks, maxPayloadBytes }: ErrorLimits,
): FailedExit {
  const whole = encodeError(error, { exposeStacks, isReply: true });
  // A failure's own fields may be large, too: it must not become a reply that no transport carries.
  const fits = (encoded: EncodedError): boolean => takesAtMost(textOf(encoded), maxPayloadBytes);
  if (fits(whole)) return { ok: false, error: whole };
  const withoutStacks = encodeError(error, { exposeStacks: false, isReply: true });
  if (fits(withoutStacks)) return { ok: false, error: withoutStacks };
  const size = `${textOf(whole).length} characters`;
  const what = `The error of ${describeCall(envelope)} was too large to send (${size})`;
  const message = `${what}. It began: ${short(whole.message)}`;
  for (const share of SHARES_FOR_FIELDS) {
    const shorter = { ...shortened(withoutStacks, maxPayloadBytes * share), message };
    if (fits(shorter)) return { ok: false, error: shorter };
  }
  return { ok: false, error: { ...shortened(withoutStacks, 0), message, cause: null } };
}

function textOf(error: EncodedError): string {
  return JSON.stringify({ ok: false, error } satisfies FailedExit);
}

/** What a request ends with that was to end, and did not by itself. */
export function interruption({ envelope }: HostedRequest, why: string, cause?: unknown): InterruptedError {
  return new InterruptedError(
    { what: describeCall(envelope), why },
    cause === undefined ? undefined : { cause },
  );
}
