import type { Clock } from "../adapter/clock.ts";
import { InterruptedError, TimeoutError } from "../errors/routing.ts";
import { checkLimits, type CallLimits } from "./call-wait.ts";

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
        reject(new TimeoutError({ what, timeoutMs, hasKey: true })),
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
    left.abort();
    for (const stop of stops) stop();
  }
}
