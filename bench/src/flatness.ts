// Flatness: whether what a process keeps in memory grows with what it has done.

import { slopeOf, type Slope } from "./slope.ts";

/** What was in use after so many operations, with none of them under way. */
export interface Used {
  readonly operations: number;
  readonly bytes: number;
}

export interface Flatness {
  readonly verdict: "flat" | "grows" | "cannot be told";
  /** Bytes for each operation. */
  readonly each: Slope;
  /** The samples that it is judged by. */
  readonly judged: number;
}

/** Until then caches fill and code is compiled. */
const WARM_PART = 1 / 4;
/**
 * Bytes for each operation. The least that a leak keeps is an object of some 50 bytes: this is one for each 50 operations.
 */
export const FLAT_BELOW = 1;

/**
 * Flat is what is shown to be flat: with 95 % confidence it grows by less than `FLAT_BELOW` after its first quarter. It grows if
 * it is shown to grow by more. Between these the samples are too few, or too far apart, to tell.
 */
export function flatnessOf(samples: readonly Used[]): Flatness {
  const judged = samples.slice(Math.ceil(samples.length * WARM_PART));
  const each = slopeOf(judged.map(({ operations, bytes }) => ({ x: operations, y: bytes })));
  const verdict = each.most < FLAT_BELOW ? "flat" : each.least >= FLAT_BELOW ? "grows" : "cannot be told";
  return { verdict, each, judged: judged.length };
}
