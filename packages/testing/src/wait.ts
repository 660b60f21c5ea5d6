import { ConfigError, type Clock } from "@holdfast/core/adapter";

/**
 * Resolves when so many milliseconds of a clock have passed, in the next turn if they are 0 or fewer; never without a clock.
 * Rejects what is no number: no moment is ever that much later.
 */
export function wait(clock: Pick<Clock, "setTimer"> | undefined, ms: number): Promise<void> {
  return new Promise<void>((resolve) => {
    if (typeof ms !== "number" || Number.isNaN(ms))
      throw new ConfigError({ option: "sleep", got: ms, takes: "a number of milliseconds" });
    clock?.setTimer(ms, resolve);
  });
}
