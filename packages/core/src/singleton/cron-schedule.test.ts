import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { DefinitionError } from "../errors/config.ts";
import { CronSchedule } from "./cron-schedule.ts";

const schedule = (fields: string, timeZone = "UTC"): CronSchedule =>
  new CronSchedule({ name: "report", schedule: fields, timeZone });

/** The first `count` instants after `after`, as ISO strings without the milliseconds. */
function instants(cron: CronSchedule, after: string, count: number): string[] {
  const found: string[] = [];
  let cursor = Date.parse(after);
  while (found.length < count) {
    cursor = cron.next(cursor);
    found.push(new Date(cursor).toISOString().replace(".000Z", "Z"));
  }
  return found;
}

describe("a cron schedule", () => {
  it("takes five fields, the minute first", () => {
    expect(instants(schedule("30 8 * * *"), "2026-03-01T12:00:00Z", 2)).toEqual([
      "2026-03-02T08:30:00Z",
      "2026-03-03T08:30:00Z",
    ]);
  });

  it("takes six fields, the second first", () => {
    expect(instants(schedule("15 */5 * * * *"), "2026-03-01T12:00:15Z", 2)).toEqual([
      "2026-03-01T12:05:15Z",
      "2026-03-01T12:10:15Z",
    ]);
  });

  it.each([
    ["@yearly", "2027-01-01T00:00:00Z"],
    ["@annually", "2027-01-01T00:00:00Z"],
    ["@monthly", "2026-04-01T00:00:00Z"],
    ["@weekly", "2026-03-08T00:00:00Z"],
    ["@daily", "2026-03-03T00:00:00Z"],
    ["@midnight", "2026-03-03T00:00:00Z"],
    ["@hourly", "2026-03-02T13:00:00Z"],
    ["@minutely", "2026-03-02T12:01:00Z"],
    ["@secondly", "2026-03-02T12:00:01Z"],
    ["@weekdays", "2026-03-03T00:00:00Z"],
    ["@weekends", "2026-03-07T00:00:00Z"],
  ])("takes the nickname %s", (nickname, first) => {
    expect(instants(schedule(nickname), "2026-03-02T12:00:00Z", 1)).toEqual([first]);
  });

  it("reads names, lists, ranges, the last day and the n-th weekday", () => {
    expect(instants(schedule("0 9 * FEB MON-WED,FRI"), "2026-02-03T10:00:00Z", 3)).toEqual([
      "2026-02-04T09:00:00Z",
      "2026-02-06T09:00:00Z",
      "2026-02-09T09:00:00Z",
    ]);
    expect(instants(schedule("0 0 L * *"), "2028-02-01T00:00:00Z", 2)).toEqual([
      "2028-02-29T00:00:00Z",
      "2028-03-31T00:00:00Z",
    ]);
    expect(instants(schedule("0 0 * * 5#3"), "2026-02-01T00:00:00Z", 1)).toEqual(["2026-02-20T00:00:00Z"]);
  });

  it("takes either day where both are given", () => {
    expect(instants(schedule("0 0 13 * 5"), "2026-02-01T00:00:00Z", 3)).toEqual([
      "2026-02-06T00:00:00Z",
      "2026-02-13T00:00:00Z",
      "2026-02-20T00:00:00Z",
    ]);
  });

  it("finds the next leap day, years ahead", () => {
    expect(instants(schedule("0 12 29 2 *", "Europe/Paris"), "2096-03-01T00:00:00Z", 1)).toEqual([
      "2104-02-29T11:00:00Z",
    ]);
  });

  it("gives H the same number on every member, and another one to another name", () => {
    const fields = { schedule: "H H * * *", timeZone: "UTC" };
    const of = (name: string): number => new CronSchedule({ ...fields, name }).next(0);
    expect(of("a")).toBe(of("a"));
    expect(new Set(["a", "b", "c", "d"].map(of)).size).toBeGreaterThan(1);
  });

  it("asks for no calendar of a zone in UTC, where thousands of them would take seconds to make", () => {
    using calendars = vi.spyOn(Intl, "DateTimeFormat");
    expect(instants(schedule("0 3 * * *"), "2026-03-01T12:00:00Z", 1)).toEqual(["2026-03-02T03:00:00Z"]);
    expect(calendars).not.toHaveBeenCalled();
  });

  it("goes by the wall clock of its time zone", () => {
    expect(instants(schedule("0 9 * * *", "Asia/Kolkata"), "2026-01-01T00:00:00Z", 1)).toEqual([
      "2026-01-01T03:30:00Z",
    ]);
    // 9 o'clock in Paris before and after clocks change.
    expect(instants(schedule("0 9 * * *", "Europe/Paris"), "2026-03-27T12:00:00Z", 3)).toEqual([
      "2026-03-28T08:00:00Z",
      "2026-03-29T07:00:00Z",
      "2026-03-30T07:00:00Z",
    ]);
  });

  it.each([
    ["", "it has 0 fields"],
    ["   ", "it has 0 fields"],
    ["* * * *", "it has 4 fields"],
    ["* * * * * * *", "it has 7 fields"],
    ["@fortnightly", "no nickname that is known"],
    ["61 * * * *", "expected range 0-59"],
    ["a b c d e", "cannot be used"],
    ["0 0 30 2 *", "cannot be used"],
    ["0 0 31 4,6 *", "cannot be used"],
  ])("refuses %j and says what it takes", (fields, why) => {
    expect(() => schedule(fields)).toThrow(DefinitionError);
    expect(() => schedule(fields)).toThrow(why);
    expect(() => schedule(fields)).toThrow("It takes five fields");
  });

  it.each(["Mars/Olympus", "", "Paris"])("refuses the time zone %j and names it", (timeZone) => {
    expect(() => schedule("@daily", timeZone)).toThrow(DefinitionError);
    expect(() => schedule("@daily", timeZone)).toThrow(`The time zone of cron "report" is "${timeZone}"`);
  });
});

describe("a cron schedule when clocks go forward", () => {
  // New York, 2026-03-08: after 01:59:59 (UTC-5) comes 03:00:00 (UTC-4), at 07:00 UTC.
  const newYork = (fields: string): CronSchedule => schedule(fields, "America/New_York");

  it("runs once, an hour later by the wall clock, what was to run in the skipped hour (D1)", () => {
    expect(instants(newYork("30 2 * * *"), "2026-03-07T00:00:00Z", 3)).toEqual([
      "2026-03-07T07:30:00Z", // 02:30
      "2026-03-08T07:30:00Z", // 03:30, since 02:30 is skipped
      "2026-03-09T06:30:00Z", // 02:30
    ]);
  });

  it("does not run twice what was to run in the skipped hour and in the one after it", () => {
    expect(instants(newYork("30 2,3 * * *"), "2026-03-08T05:00:00Z", 3)).toEqual([
      "2026-03-08T07:30:00Z", // both 02:30 and 03:30
      "2026-03-09T06:30:00Z",
      "2026-03-09T07:30:00Z",
    ]);
  });

  it("keeps the instants in order although skipped wall times fall behind later ones", () => {
    expect(instants(newYork("0,40 2,3 * * *"), "2026-03-08T05:00:00Z", 3)).toEqual([
      "2026-03-08T07:00:00Z", // 03:00, and 02:00 which is skipped
      "2026-03-08T07:40:00Z",
      "2026-03-09T06:00:00Z",
    ]);
  });

  it("goes on by elapsed time with a schedule for every hour (D3)", () => {
    expect(instants(newYork("*/30 * * * *"), "2026-03-08T06:00:00Z", 4)).toEqual([
      "2026-03-08T06:30:00Z", // 01:30
      "2026-03-08T07:00:00Z", // 03:00
      "2026-03-08T07:30:00Z",
      "2026-03-08T08:00:00Z",
    ]);
  });

  it("runs what was to run on a day that a zone left out", () => {
    // Samoa had no 30th of December 2011: a day's worth of wall time was skipped at 10:00 UTC.
    expect(instants(schedule("0 12 * * *", "Pacific/Apia"), "2011-12-29T00:00:00Z", 3)).toEqual([
      "2011-12-29T22:00:00Z", // the 29th at 12:00
      "2011-12-30T22:00:00Z", // the 31st at 12:00, and the 30th which is skipped
      "2011-12-31T22:00:00Z", // the 1st at 12:00
    ]);
  });
});

describe("a cron schedule when clocks go back", () => {
  // New York, 2026-11-01: after 01:59:59 (UTC-4) comes 01:00:00 (UTC-5), at 06:00 UTC.
  const newYork = (fields: string): CronSchedule => schedule(fields, "America/New_York");

  it("runs once, the first time, what was to run in the hour that comes twice (D2)", () => {
    expect(instants(newYork("30 1 * * *"), "2026-10-31T00:00:00Z", 3)).toEqual([
      "2026-10-31T05:30:00Z",
      "2026-11-01T05:30:00Z",
      "2026-11-02T06:30:00Z",
    ]);
  });

  it("does not run it again when asked from between the two, or from within the second", () => {
    expect(instants(newYork("30 1 * * *"), "2026-11-01T05:30:00Z", 1)).toEqual(["2026-11-02T06:30:00Z"]);
    expect(instants(newYork("30 1 * * *"), "2026-11-01T06:10:00Z", 1)).toEqual(["2026-11-02T06:30:00Z"]);
    expect(instants(newYork("30 1 * * *"), "2026-11-01T06:30:00Z", 1)).toEqual(["2026-11-02T06:30:00Z"]);
  });

  it("runs through both hours with a schedule for every hour (D3)", () => {
    expect(instants(newYork("*/30 * * * *"), "2026-11-01T05:00:00Z", 4)).toEqual([
      "2026-11-01T05:30:00Z",
      "2026-11-01T06:00:00Z",
      "2026-11-01T06:30:00Z",
      "2026-11-01T07:00:00Z",
    ]);
  });

  it("runs through both hours also when the schedule ends with the day that comes back", () => {
    // Havana, 2026-11-01: 01:00 goes back to 00:00, at 05:00 UTC.
    expect(instants(schedule("40 * 1 11 *", "America/Havana"), "2026-11-01T04:00:00Z", 3)).toEqual([
      "2026-11-01T04:40:00Z",
      "2026-11-01T05:40:00Z",
      "2026-11-01T06:40:00Z",
    ]);
  });
});

describe("the instants of a cron schedule", () => {
  const zones = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
  ];
  const fields = [
    "30 1 * * *",
    "*/7 * * * *",
    "15 2,3 * * *",
    "0 0 1 * *",
    "20 */10 1-3 * * 0",
    "0 12 31 12 *",
  ];
  const cases = fc.record({
    zone: fc.constantFrom(...zones),
    field: fc.constantFrom(...fields),
    // 2010 to 2030, and half of the time near a change of clocks.
    after: fc.oneof(
      fc.integer({ min: 1_262_304_000_000, max: 1_893_456_000_000 }),
      fc
        .tuple(
          fc.constantFrom(
            "2026-03-08T07:00Z",
            "2026-11-01T06:00Z",
            "2026-03-29T01:00Z",
            "2026-10-25T01:00Z",
            "2011-12-30T10:00Z",
          ),
          fc.integer({ min: -90_000_000, max: 90_000_000 }),
        )
        .map(([change, distance]) => Date.parse(change) + distance),
    ),
    part: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  });

  it("are the same wherever one asks from, so that chains of ticks merge", () => {
    fc.assert(
      fc.property(cases, ({ zone, field, after, part }) => {
        const cron = schedule(field, zone);
        const next = cron.next(after);
        const between = after + Math.floor((next - after) * part);
        expect(next).toBeGreaterThan(after);
        expect(cron.next(between)).toBe(next);
      }),
      { numRuns: 500 },
    );
  });

  it("are those that it includes, and no others", () => {
    fc.assert(
      fc.property(cases, ({ zone, field, after, part }) => {
        const cron = schedule(field, zone);
        const next = cron.next(after);
        const between = after + Math.ceil((next - after) * part);
        expect(cron.includes(next)).toBe(true);
        expect(cron.includes(next + 1)).toBe(false);
        if (between > after && between < next) expect(cron.includes(between)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
