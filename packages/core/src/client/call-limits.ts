// Call limits: what ends the wait for a call although nothing became of it: its time is over, or its signal is aborted.

import type { Clock } from "../adapter/clock.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import { ConfigError } from "../errors/config.ts";
import { InterruptedError, TimeoutError } from "../errors/routing.ts";

/** Those of a call's options that end the wait for it. */
export interface CallLimits {
  /**
   * How long to wait for the reply. Then TimeoutError, and the handler is interrupted. Default: for ever. What a handler in
   * this process does before it first awaits does not count: no timer runs meanwhile.
   */
  readonly timeout?: Duration | undefined;
  /** Aborting it ends the wait with InterruptedError and interrupts the handler. Where it is aborted already, nothing is sent. */
  readonly signal?: AbortSignal | undefined;
}

/** Returns the time-out in milliseconds, or null. @throws {ConfigError} it is no duration, or the signal none */
export function checkLimits({ timeout, signal }: CallLimits): number | null {
  if (signal !== undefined && !isAbortSignal(signal))
    throw new ConfigError({ option: "signal", got: signal, takes: "an AbortSignal" });
  return timeout === undefined ? null : milliseconds(timeout, "timeout");
}

/** Also one of another realm, or of a library. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (typeof value !== "object" || value === null || !("aborted" in value)) return false;
  return ["addEventListener", "removeEventListener"].every(
    (method) => typeof (value as Readonly<Record<string, unknown>>)[method] === "function",
  );
}

/**
 * Waits for what a call has to read before it is sent, for as long as the call's limits allow. What is not waited for any more has
 * the signal that it is given aborted, and may go on.
 *
 * @param what names the call, for errors
 * @throws {TimeoutError} @throws {InterruptedError} a limit was reached @throws {ConfigError} they are no limits
 */
export async function withinLimits<Read>(
  clock: Clock,
  what: string,
  limits: CallLimits,
  read: (left: AbortSignal) => Promise<Read>,
): Promise<Read> {
  const timeoutMs = checkLimits(limits);
  const { signal } = limits;
  const left = new AbortController();
  const stops: (() => void)[] = [];
  const limit = new Promise<never>((_resolve, reject) => {
    if (timeoutMs !== null) {
      const timer = clock.setTimer(timeoutMs, () =>
        reject(new TimeoutError({ what: `The look-up of ${what}`, timeoutMs, isRead: true })),
      );
      stops.push(() => timer.cancel());
    }
    // What it asks about may run, and may have been sent under its key before.
    const abort = (): void =>
      reject(new InterruptedError({ what, why: "its signal was aborted" }, { cause: signal?.reason }));
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort, { once: true });
    stops.push(() => signal?.removeEventListener("abort", abort));
  });
  try {
    return await Promise.race([limit, read(left.signal)]);
  } finally {
    // Without a reason it would make an error, for nobody.
    left.abort(null);
    for (const stop of stops) stop();
  }
}
