import type { Clock } from "../adapter/clock.ts";

/**
 * Resolves when `ms` have passed, or as soon as `signal` is aborted. Never rejects: most who wait have to look at what
 * changed meanwhile anyway, and who needs to know why it ended reads `signal.aborted`.
 */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.setTimer(ms, end);
    signal?.addEventListener("abort", end);
  });
}
