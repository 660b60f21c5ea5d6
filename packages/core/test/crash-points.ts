// Crash points: has a program crash at each place at which it may, and compares its course with the one without a crash.

import { SeededRandom } from "../src/clock/seeded-random.ts";
import { differenceOf, runProgram, type Crashes } from "./course.ts";
import type { Fault } from "./execution-stage.ts";
import type { RandomProgram } from "./random-program.ts";

export interface CheckOptions {
  /** At so many places it crashes besides its writes; infinite: at all. */
  readonly mostPlaces: number;
  /** Chooses them where there are more. */
  readonly seed: number;
}

export interface Checked {
  /** Why it was not checked; null: it was. */
  readonly left: string | null;
  readonly runs: number;
  readonly writes: number;
  readonly places: number;
}

/** A run with a crash is not like the one without. */
export class CrashDifference extends Error {
  override readonly name = "CrashDifference";
}

/** So often other moments are chosen for a program in which two things happen at one. */
const SALTS = 4;

/**
 * Has the program crash before and after each of its writes, at all of them, and at other places: wherever the runtime or
 * the code waits, or something reaches the outside world. @throws {CrashDifference}
 */
export async function checkProgram(program: RandomProgram, options: CheckOptions): Promise<Checked> {
  const { stackTraceLimit } = Error;
  // Nobody reads the stacks of all the errors here, and they take a third of the time.
  Error.stackTraceLimit = 0;
  try {
    return await check(program, options);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

async function check(program: RandomProgram, options: CheckOptions): Promise<Checked> {
  let left: string | null = null;
  let runs = 0;
  for (const [variant, salt] of variantsOf(program)) {
    const { course, writes, places, tie } = await runProgram(variant, salt, {});
    runs += 1;
    left = tie;
    if (tie !== null) continue;
    const all = crashesOf(writes, places, options);
    // Side by side they share the turns of the event loop, each with a clock of its own.
    const differences = await Promise.all(
      all.map(([, crashes]) =>
        runProgram(variant, salt, crashes).then((other) => differenceOf(course, other.course), String),
      ),
    );
    const first = differences.findIndex((difference) => difference !== null);
    if (first !== -1)
      throw new CrashDifference(
        `With a crash ${all[first]?.[0]} (salt ${salt}) it is another course:\n${differences[first]}`,
      );
    return { left, runs: runs + all.length, writes, places };
  }
  return { left, runs, writes: 0, places: 0 };
}

/** The program at some moments and at others, and then without what asks all that is under way to end at one moment. */
function* variantsOf(program: RandomProgram): Iterable<readonly [RandomProgram, number]> {
  for (const variant of [program, { ...program, cancelAtMs: null }])
    for (let salt = 0; salt < SALTS; salt += 1) yield [variant, salt];
}

function crashesOf(
  writes: number,
  places: number,
  { mostPlaces, seed }: CheckOptions,
): readonly (readonly [string, Crashes])[] {
  const all: (readonly [string, Crashes])[] = [];
  for (let write = 1; write <= writes; write += 1) {
    for (const fault of ["crash-after", "crash-before"] as const)
      all.push([`${fault.slice(6)} write ${write} of ${writes}`, { faults: new Map([[write, fault]]) }]);
  }
  const each = new Map<number, Fault>();
  const everyOther = new Map<number, Fault>();
  // A write that was lost is made again, with the next number.
  for (let write = 1; write <= 4 * writes; write += 1) {
    each.set(write, "crash-after");
    if (write % 2 === 1) everyOther.set(write, "crash-before");
  }
  all.push(["after each write", { faults: each }], ["before every other write", { faults: everyOther }]);
  for (const place of sample(places, mostPlaces, seed))
    all.push([`at place ${place} of ${places}`, { place }]);
  return all;
}

/** Up to `most` of the numbers from 1 to `count`, each as likely as any other. */
function sample(count: number, most: number, seed: number): readonly number[] {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const random = new SeededRandom(seed);
  for (let at = 0; at < Math.min(most, count); at += 1) {
    const other = at + Math.floor(random.next() * (count - at));
    [numbers[at], numbers[other]] = [numbers[other] as number, numbers[at] as number];
  }
  return numbers.slice(0, most);
}
