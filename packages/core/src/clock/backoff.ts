import type { Random } from "../adapter/random.ts";

/** How the pauses between attempts grow. */
export interface Backoff {
  readonly kind: "exponential" | "constant";
  /** The pause after the first failed attempt, in milliseconds. */
  readonly initialMs: number;
  /** No pause is longer, in milliseconds. */
  readonly maxMs: number;
  /** The part of a pause that chance may take off, from 0 (none) to 1. It keeps what failed together from coming back together. */
  readonly jitter: number;
}

/** Between the runtime's own tries of what storage or another member kept from passing. */
export const OWN_RETRIES: Backoff = { kind: "exponential", initialMs: 100, maxMs: 10_000, jitter: 0 };

/** The pause after failed attempt number `attempt` (1 for the first), in whole milliseconds. Exponential ones double. */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const factor = backoff.kind === "constant" ? 1 : 2 ** Math.max(0, attempt - 1);
  const fullMs = Math.min(backoff.maxMs, backoff.initialMs * factor);
  return backoff.jitter === 0
    ? Math.round(fullMs)
    : Math.round(fullMs * (1 - backoff.jitter * random.next()));
}
