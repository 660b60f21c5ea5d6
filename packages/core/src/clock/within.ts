import type { Clock } from "../adapter/clock.ts";

/**
 * Waits for `work` to settle, but not for longer than `ms`. Resolves to whether it did in time; how it ended is not told,
 * and what was not waited for goes on. Never rejects.
 */
export function within(clock: Clock, work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(Math.max(0, ms), () => resolve(false));
    const end = (): void => {
      timer.cancel();
      resolve(true);
    };
    work.then(end, end);
  });
}
