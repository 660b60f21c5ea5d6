import { Violation } from "../simulation/violation.ts";

/** What `checkExactlyOnce()` looks at. */
export interface OnceHistory {
  /** The key of each effect, as often as the effect is there. */
  readonly effects: readonly string[];
  /** Keys of what was acknowledged: each has one effect. */
  readonly acknowledged: readonly string[];
  /** Keys of all that was asked for, acknowledged or not. Where it is given, no other key has an effect. */
  readonly asked?: readonly string[];
}

/**
 * Checks that what was acknowledged has its effect once, and everything else at most once (INV-3). For effects that are
 * bound to the reply or the journal, through a transaction or a key of their own: others happen at least once.
 *
 * @throws {Violation} "exactly once"
 */
export function checkExactlyOnce({ effects, acknowledged, asked }: OnceHistory): void {
  const counts = new Map<string, number>();
  for (const key of effects) counts.set(key, (counts.get(key) ?? 0) + 1);
  for (const [key, count] of counts)
    if (count > 1) throw new Violation("exactly once", `${key} has ${count} effects`);
  for (const key of acknowledged)
    if (!counts.has(key)) throw new Violation("exactly once", `${key} was acknowledged and has no effect`);
  if (asked === undefined) return;
  const known = new Set([...asked, ...acknowledged]);
  for (const key of counts.keys())
    if (!known.has(key)) throw new Violation("exactly once", `${key} has an effect, and nobody asked for it`);
}
