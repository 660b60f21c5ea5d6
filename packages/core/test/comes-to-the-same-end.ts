import { expect, it } from "vitest";
import { checkPrograms, MOST_PLACES } from "./check-programs.ts";

/** Of each file: there are two, so that both processors have some. */
const PROGRAMS = 600;

/** Defines the case of the random programs of a seed. */
export function comesToTheSameEnd(seed: number): void {
  // After and before each write; at the other places a sample, and at all of them by `npm run programs -- --places all`.
  it("comes to the same end, with the same effects and the same journal in the same order", async () => {
    const checked = await checkPrograms({ count: PROGRAMS, seed, mostPlaces: MOST_PLACES });
    expect(checked.programs).toBe(PROGRAMS);
    expect(checked.left, "of few it is no fair demand").toBeLessThan(PROGRAMS / 4);
  }, 1_800_000);
}
