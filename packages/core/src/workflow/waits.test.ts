import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { Waits } from "./waits.ts";

function waiting(): {
  clock: VirtualClock;
  waits: Waits;
  over: string[];
  wait: (name: string, inMs: number) => void;
} {
  const clock = new VirtualClock();
  const waits = new Waits(clock);
  const over: string[] = [];
  const wait = (name: string, inMs: number): void => {
    waits.until(clock.now() + inMs, () => over.push(name));
  };
  return { clock, waits, over, wait };
}

describe("waits", () => {
  it("end when they are due, the earliest first, and never early (INV-7)", async () => {
    const { clock, waits, over, wait } = waiting();
    wait("late", 200);
    wait("soon", 100);
    expect(waits.earliest).toBe(clock.now() + 100);
    await clock.advance(99);
    expect(over).toEqual([]);
    await clock.advance(1);
    expect(over).toEqual(["soon"]);
    expect(waits.earliest).toBe(clock.now() + 100);
    await clock.advance(100);
    expect(over).toEqual(["soon", "late"]);
    expect(waits.earliest).toBeNull();
  });

  it("end at once for a moment that is past", async () => {
    const { clock, over, wait } = waiting();
    wait("past", -5_000);
    await clock.settle();
    expect(over).toEqual(["past"]);
  });

  it("go on when the wall clock was set back meanwhile", async () => {
    const { clock, over, wait } = waiting();
    wait("it", 1_000);
    clock.setWall(-600);
    await clock.advance(1_000);
    expect(over).toEqual([]);
    await clock.advance(599);
    expect(over).toEqual([]);
    await clock.advance(1);
    expect(over).toEqual(["it"]);
  });

  it("end soon after the wall clock was set forward over them, or a machine that was suspended goes on", async () => {
    const { clock, over, wait } = waiting();
    wait("it", 7_200_000);
    clock.setWall(7_100_000);
    await clock.advance(99_999);
    expect(over).toEqual([]);
    await clock.advance(1);
    expect(over).toEqual(["it"]);
    wait("another", 7_200_000);
    clock.setWall(7_100_000 + 7_200_000);
    await clock.advance(10_000);
    expect(over).toEqual(["it", "another"]);
  });

  it("of one moment are each their own", async () => {
    const { clock, over, wait } = waiting();
    wait("a", 100);
    wait("b", 100);
    await clock.advance(100);
    expect(over).toEqual(["a", "b"]);
  });

  it("that are given up leave no timer behind", async () => {
    const { clock, waits, over } = waiting();
    const end = waits.until(clock.now() + 100, () => over.push("given up"));
    end();
    expect([waits.earliest, clock.pending()]).toEqual([null, 0]);
    await clock.advance(1_000);
    expect(over).toEqual([]);
  });

  it("never end after a stop, and leave no timer behind", async () => {
    const { clock, waits, over, wait } = waiting();
    wait("before", 100);
    waits.stop();
    wait("after", 100);
    expect(clock.pending()).toBe(0);
    await clock.advance(1_000);
    expect(over).toEqual([]);
    expect(waits.earliest).toBeNull();
  });
});
