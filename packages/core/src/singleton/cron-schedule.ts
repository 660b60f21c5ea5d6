// Cron schedule: the instants that a cron expression names in a time zone.
//
// A set of instants, asked with `next` and `includes`. It reads no clock and keeps no place, so that all members, whenever
// and from wherever they ask, name the same instants; the chains of ticks in cron-runner.ts rest on that. The expression
// itself is read by cron-parser, in plain wall time without a zone. What becomes of wall times when clocks change is
// decided here, since cron-parser's answer there depends on where it started from:
//
//   D1  A wall time that is skipped, 02:30 where clocks go from 02:00 to 03:00, is taken as far after the change as it
//       would have been without it: 03:30. Nothing that runs daily misses a day.
//   D2  A wall time that comes twice counts the first time only. Nothing that runs daily runs twice a day.
//   D3  A schedule for every hour goes by elapsed time: it skips what is skipped, and runs through both of two equal
//       hours. What runs every ten minutes runs every ten minutes.
//
// D1 and D2 are the "compatible" disambiguation of ECMAScript's Temporal and of RFC 5545, section 3.3.5; D3 is what
// Vixie cron does with wildcards.

import { CronExpressionParser, type CronExpression } from "cron-parser";
import { DefinitionError } from "../errors/config.ts";

const HOUR_MS = 3_600_000;
/** The widest change of an offset known is 24 hours: Samoa skipped the 30th of December 2011. */
const LOOK_BACK_MS = 25 * HOUR_MS;
/** How far ahead of an instant one look goes. A zone is taken to change its offset at most once within both together. */
const LOOK_AHEAD_MS = 48 * HOUR_MS;
/** No zone is further from UTC. */
const WIDEST_OFFSET_MS = 16 * HOUR_MS;
const NICKNAMES: readonly string[] = [
  "@yearly",
  "@annually",
  "@monthly",
  "@weekly",
  "@daily",
  "@midnight",
  "@hourly",
  "@minutely",
  "@secondly",
  "@weekdays",
  "@weekends",
];

/** A stretch of wall time, in milliseconds as if it were UTC, in which an instant is the wall time less `offset`. */
interface Stretch {
  readonly offset: number;
  readonly from: number;
  readonly to: number;
}

/** The instants of one cron, in milliseconds since 1970. */
export class CronSchedule {
  readonly #expression: CronExpression;
  readonly #everyHour: boolean;
  readonly #zone: Zone;

  /**
   * @param cron `schedule` has five fields (minute, hour, day of month, month, day of week), six with seconds first, or is
   *   a nickname such as `@daily`. If both days are given, either one will do. `H` stands for a number made of `name`.
   * @throws {DefinitionError} the schedule cannot be read, names no instant, or the time zone is not known
   */
  constructor(cron: { name: string; schedule: string; timeZone: string }) {
    this.#zone = new Zone(cron);
    this.#expression = parse(cron);
    this.#everyHour = this.#expression.fields.hour.values.length === 24;
    try {
      this.next(0);
    } catch (cause) {
      throw unreadable(cron, "it names no instant at all", cause);
    }
  }

  /** The first instant after `after`. */
  next(after: number): number {
    let cursor = after;
    for (;;) {
      const until = cursor + LOOK_AHEAD_MS;
      let instant = Number.POSITIVE_INFINITY;
      let nearestWall = Number.POSITIVE_INFINITY;
      for (const { offset, from, to } of this.#stretchesAround(cursor)) {
        const wall = this.#nextWall(Math.max(cursor + offset, from - 1));
        nearestWall = Math.min(nearestWall, wall);
        if (wall < to) instant = Math.min(instant, wall - offset);
      }
      if (instant <= until) return instant;
      // Too far off to know the offset there: look again from shortly before.
      cursor = Math.max(until, nearestWall - WIDEST_OFFSET_MS);
    }
  }

  /** Whether `instant` is one of this schedule. */
  includes(instant: number): boolean {
    return this.next(instant - 1) === instant;
  }

  /** The first wall time after `wall`. */
  #nextWall(wall: number): number {
    this.#expression.reset(new Date(wall));
    return this.#expression.next().getTime();
  }

  #stretchesAround(instant: number): readonly Stretch[] {
    const change = this.#zone.changeBetween(instant - LOOK_BACK_MS, instant + LOOK_AHEAD_MS);
    const { before, after } = change;
    const always = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    if (change.at === null) return [{ ...always, offset: before }];
    const border = Math.max(change.at + before, change.at + after);
    return [
      // The old offset goes on through the skipped wall times (D1), and through those that come twice (D2).
      { ...always, offset: before, to: this.#everyHour ? change.at + before : border },
      { ...always, offset: after, from: this.#everyHour ? change.at + after : border },
    ];
  }
}

/** The offsets of a time zone from UTC, in milliseconds: what wall clocks there show more. */
class Zone {
  readonly #format: Intl.DateTimeFormat | null;

  constructor(cron: { name: string; timeZone: string }) {
    if (cron.timeZone === "UTC") {
      // It takes as long as all else of a cron, and thousands of them are made while nothing else runs.
      this.#format = null;
      return;
    }
    try {
      const format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
        timeZone: cron.timeZone,
        hourCycle: "h23",
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
        second: "numeric",
      });
      this.#format = format.resolvedOptions().timeZone === "UTC" ? null : format;
    } catch (cause) {
      throw new DefinitionError(
        `The time zone of cron "${cron.name}" is ${show(cron.timeZone)}, but it takes a name of the IANA database that this ` +
          `runtime knows, such as "Europe/Paris" or "UTC".`,
        { cause },
      );
    }
  }

  offsetAt(instant: number): number {
    if (this.#format === null) return 0;
    const parts: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(instant)) parts[type] = Number(value);
    const { year = 0, month = 1, day = 0, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instant / 1000) * 1000;
  }

  /** The offsets at both ends, and the first instant of the second one; null where they are equal. */
  changeBetween(from: number, to: number): { before: number; after: number; at: number | null } {
    const before = this.offsetAt(from);
    const after = this.offsetAt(to);
    if (before === after) return { before, after, at: null };
    let low = Math.floor(from / 1000);
    let high = Math.ceil(to / 1000);
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.offsetAt(middle * 1000) === before) low = middle;
      else high = middle;
    }
    return { before, after, at: high * 1000 };
  }
}

function parse(cron: { name: string; schedule: string }): CronExpression {
  const { schedule } = cron;
  if (typeof schedule !== "string") throw unreadable(cron, "it must be a string");
  // cron-parser takes fewer fields too, down to none, and fills them up: "" would mean every minute.
  const fields = schedule.trim() === "" ? 0 : schedule.trim().split(/\s+/).length;
  if (fields !== 5 && fields !== 6 && !NICKNAMES.includes(schedule)) {
    throw unreadable(cron, fields === 1 ? "it is no nickname that is known" : `it has ${fields} fields`);
  }
  try {
    // The date and the seed are given because cron-parser would take the system's clock and a random number.
    const known = schedule === "@midnight" ? "@daily" : schedule;
    return CronExpressionParser.parse(known, { tz: "UTC", currentDate: new Date(0), hashSeed: cron.name });
  } catch (cause) {
    throw unreadable(cron, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function unreadable(
  cron: { name: string; schedule: unknown },
  why: string,
  cause?: unknown,
): DefinitionError {
  return new DefinitionError(
    `The schedule of cron "${cron.name}" is ${show(cron.schedule)}, which cannot be used: ${why}. It takes five fields ` +
      `(minute, hour, day of month, month, day of week), six with seconds first, or one of ${NICKNAMES.join(", ")}.`,
    { cause },
  );
}

function show(value: unknown): string {
  if (typeof value !== "string") return `of type ${typeof value}`;
  return `"${value.length > 100 ? `${value.slice(0, 100)}…` : value}"`;
}
