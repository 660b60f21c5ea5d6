import { Violation } from "../simulation/violation.ts";

/** Something that went on from one moment of an observer to another. */
export interface Stay {
  /** What may go on once at a time: an entity under one epoch, a singleton, a cron. */
  readonly of: string;
  /** Who did it, for the message. */
  readonly who: string;
  readonly from: number;
  /** Infinity: it goes on, or nobody saw its end. */
  readonly to: number;
}

/**
 * Checks that no two stays of one name overlap (INV-5). Those that only touch do not.
 *
 * @throws {Violation} "one at a time"
 */
export function checkOneAtATime(stays: readonly Stay[]): void {
  for (const [name, ofOne] of Map.groupBy(stays, ({ of }) => of)) {
    let last: Stay | null = null;
    for (const stay of ofOne.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
      if (last !== null && stay.from < last.to)
        throw new Violation(
          "one at a time",
          `${name}: ${stay.who} began at ${stay.from}, and ${last.who} went on until ${last.to}`,
        );
      last = stay;
    }
  }
}
