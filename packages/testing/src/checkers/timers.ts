import { Violation } from "../simulation/violation.ts";

/** What `checkTimers()` looks at. */
export interface TimerHistory {
  /** Each sleep, time-out or scheduled delivery that was set, and when it is due. */
  readonly set: readonly { readonly key: string; readonly dueAt: number }[];
  /** When timers fired, each as often as it did. */
  readonly fired: readonly { readonly key: string; readonly at: number }[];
  /** Now. What is due later need not have fired. */
  readonly now: number;
  /** How much earlier than due is no mistake: as far as the clocks of those who set and fired them differ. Default 0. */
  readonly toleranceMs?: number;
  /** How late a timer that is due may be before it counts as lost. Default: any time until `now`. */
  readonly graceMs?: number;
}

/**
 * Checks that no timer fired before it was due, and that none is lost (INV-7). All times in milliseconds since 1970.
 *
 * @throws {Violation} "no early timer", "no lost timer"
 */
export function checkTimers({ set, fired, now, toleranceMs = 0, graceMs = 0 }: TimerHistory): void {
  const dueAt = new Map(set.map((timer) => [timer.key, timer.dueAt]));
  const done = new Set<string>();
  for (const { key, at } of fired) {
    done.add(key);
    const due = dueAt.get(key);
    if (due === undefined) throw new Violation("no early timer", `${key} fired, and was never set`);
    if (at < due - toleranceMs)
      throw new Violation("no early timer", `${key} fired ${due - at} ms before it was due`);
  }
  for (const [key, due] of dueAt)
    if (!done.has(key) && due + graceMs < now)
      throw new Violation("no lost timer", `${key} was due ${now - due} ms ago, and has not fired`);
}
