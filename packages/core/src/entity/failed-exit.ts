import { encodeError } from "../contract/error-codec.ts";
import { describeCall } from "../data/envelope.ts";
import type { Exit } from "../data/reply.ts";
import { InterruptedError } from "../errors/routing.ts";
import type { HostedRequest } from "./hosted-request.ts";

export interface ErrorLimits {
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
}

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
  const exit = { ok: false, error: encodeError(error, { exposeStacks, isReply: true }) } as const;
  // A failure's own fields may be large, too: it must not become a reply that no transport carries.
  const size = JSON.stringify(exit).length;
  if (size <= maxPayloadBytes) return exit;
  const message = `The error of ${describeCall(envelope)} was too large to send (${size} characters). It began: ${exit.error.message.slice(0, 200)}`;
  return { ok: false, error: { ...exit.error, message, stack: null, data: null, cause: null } };
}

/** What a request ends with that was to end, and did not by itself. */
export function interruption({ envelope }: HostedRequest, why: string, cause?: unknown): InterruptedError {
  return new InterruptedError(
    { what: describeCall(envelope), why },
    cause === undefined ? undefined : { cause },
  );
}
