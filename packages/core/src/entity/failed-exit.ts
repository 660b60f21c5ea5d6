import { encodeBoundedError, type ErrorLimits } from "../contract/bounded-error.ts";
import { describeCall } from "../data/envelope.ts";
import type { Exit } from "../data/reply.ts";
import { InterruptedError } from "../errors/routing.ts";
import type { HostedRequest } from "./hosted-request.ts";

type FailedExit = Exit & { ok: false };

/** What a request whose handler threw is answered with. One that was to end was interrupted, whatever it threw. */
export function exitOfThrown(request: HostedRequest, error: unknown, limits: ErrorLimits): FailedExit {
  const { ended } = request;
  return failedExit(request, ended === null ? error : interruption(request, ended.why, error), limits);
}

/** The exit of a request that fails with this error: no reply that is too large for a transport, whatever the error holds. */
export function failedExit({ envelope }: HostedRequest, error: unknown, limits: ErrorLimits): FailedExit {
  const what = { name: () => `The error of ${describeCall(envelope)}`, purpose: "send" };
  return { ok: false, error: encodeBoundedError(error, limits, what, { isReply: true }) };
}

/** What a request ends with that was to end, and did not by itself. */
export function interruption({ envelope }: HostedRequest, why: string, cause?: unknown): InterruptedError {
  return new InterruptedError(
    { what: describeCall(envelope), why },
    cause === undefined ? undefined : { cause },
  );
}
