/**
 * A mistake that the library could make, as a change of one place of its sources. The product has no switch for it: it is
 * made in a copy.
 */
export interface PlantedBug {
  readonly name: string;
  /** The invariant that it breaks, by the names of DESIGN.md, section 3, or in words. */
  readonly breaks: string;
  /** In packages/core/src. */
  readonly file: string;
  /** The exact text that is there once. */
  readonly find: string;
  readonly replace: string;
  /** Scenarios that should find it, by name. Each is run under a seed before the next seed is tried. */
  readonly scenarios: readonly string[];
}
