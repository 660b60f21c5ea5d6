import { describe, expect, it } from "vitest";
import type { LogFields } from "../contract/logger.ts";
import { Outage } from "./outage.ts";
import { VirtualClock } from "./virtual-clock.ts";

function outage(): { outage: Outage; clock: VirtualClock; lines: (readonly [string, LogFields])[] } {
  const clock = new VirtualClock();
  const lines: (readonly [string, LogFields])[] = [];
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push([`${level}: ${message}`, fields]);
  const logger = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  return { outage: new Outage({ clock, logger, ended: "it can" }), clock, lines };
}

describe("an outage", () => {
  it("is a warning when it begins, one each thirty seconds while it goes on, and one line when it is over", async () => {
    const { outage: reading, clock, lines } = outage();
    for (let failures = 0; failures < 650; failures += 1) {
      reading.failed("it cannot", { error: `failure ${failures}` });
      await clock.advance(100);
    }
    reading.succeeded();
    reading.succeeded();
    expect(lines).toEqual([
      ["warn: it cannot", { error: "failure 0" }],
      ["warn: it cannot", { error: "failure 300", lastedMs: 30_000, leftOut: 299 }],
      ["warn: it cannot", { error: "failure 600", lastedMs: 60_000, leftOut: 299 }],
      ["info: it can", { lastedMs: 64_900, leftOut: 49 }],
    ]);
  });

  it("is told anew where something else fails", async () => {
    const { outage: reading, clock, lines } = outage();
    reading.failed("the first cannot", {});
    reading.failed("the first cannot", {});
    await clock.advance(500);
    reading.failed("the second cannot", {});
    reading.succeeded();
    expect(lines).toEqual([
      ["warn: the first cannot", {}],
      ["warn: the second cannot", { lastedMs: 500, leftOut: 1 }],
      ["info: it can", { lastedMs: 500 }],
    ]);
  });

  it("says nothing of what succeeds as it always did", () => {
    const { outage: reading, lines } = outage();
    reading.succeeded();
    expect(lines).toEqual([]);
  });

  it("is told once in ten seconds where it comes and goes, and again as soon as it lasts", async () => {
    const { outage: reading, clock, lines } = outage();
    for (let failures = 0; failures < 50; failures += 1) {
      reading.failed("it cannot", {});
      reading.succeeded();
      await clock.advance(100);
    }
    expect(lines).toEqual([
      ["warn: it cannot", {}],
      ["info: it can", {}],
    ]);
    for (let failures = 0; failures < 60; failures += 1) {
      reading.failed("it cannot", {});
      await clock.advance(100);
    }
    reading.succeeded();
    expect(lines.slice(2)).toEqual([
      ["warn: it cannot", { lastedMs: 5_000, leftOut: 99 }],
      ["info: it can", { lastedMs: 5_900, leftOut: 9 }],
    ]);
  });
});
