// The property that random programs with crashes are held to, for the suite and for the longer command (test/programs).

import fc from "fast-check";
import { checkProgram } from "./crash-points.ts";
import { randomProgram } from "./random-program.ts";

/**
 * Besides before and after each of its writes a program crashes at so many of the other places at which it waits or reaches
 * the outside world, some 40 on average: chance chooses which. All of them take twice the time.
 */
export const MOST_PLACES = 16;

export interface ProgramsChecked {
  /** Those that were checked. */
  readonly programs: number;
  /** Those in which two things happen at one moment, however the moments are chosen: nobody says which comes first. */
  readonly left: number;
  /** Runs of programs, with a crash or without. */
  readonly runs: number;
  readonly writes: number;
  /** All at which there could have been a crash, writes aside. */
  readonly places: number;
}

/** Checks `count` programs. Rejects with the shrunk program of the first one that is not the same with a crash. */
export async function checkPrograms({
  count,
  seed,
  mostPlaces,
}: {
  readonly count: number;
  readonly seed: number;
  readonly mostPlaces: number;
}): Promise<ProgramsChecked> {
  const total = { programs: 0, left: 0, runs: 0, writes: 0, places: 0 };
  const property = fc.asyncProperty(randomProgram, fc.integer({ min: 0 }), async (program, chance) => {
    const { runs, left, writes, places } = await checkProgram(program, { mostPlaces, seed: chance });
    total.runs += runs;
    total.writes += writes;
    total.places += places;
    if (left === null) total.programs += 1;
    else total.left += 1;
    fc.pre(left === null);
  });
  await fc.assert(property, { numRuns: count, seed });
  return total;
}
