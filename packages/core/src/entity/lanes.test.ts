import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { Lanes } from "./lanes.ts";

describe("lanes", () => {
  it("hold so many at a time, and take the others in the order in which they came", async () => {
    const lanes = new Lanes(2);
    const clock = new SystemClock();
    const ends: (() => void)[] = [];
    const begun: number[] = [];
    const taken = [0, 1, 2, 3, 4].map((each) =>
      lanes.take(() => {
        begun.push(each);
        return new Promise((resolve) => ends.push(resolve));
      }),
    );
    for (const count of [2, 4, 5]) {
      await clock.nextTurn();
      expect(begun).toEqual([0, 1, 2, 3, 4].slice(0, count));
      for (const end of ends.splice(0)) end();
    }
    await Promise.all(taken);
  });

  it("go on behind what fails", async () => {
    const lanes = new Lanes(1);
    const failed = lanes.take(() => Promise.reject(new Error("lost")));
    let isDone = false;
    await Promise.all([expect(failed).rejects.toThrow("lost"), lanes.take(async () => void (isDone = true))]);
    expect(isDone).toBe(true);
  });
});
