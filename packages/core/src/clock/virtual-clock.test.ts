import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "./virtual-clock.ts";

describe("a VirtualClock", () => {
  it("starts at the wall time it is given and stands still until it is advanced", async () => {
    const clock = new VirtualClock(1_000);
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    await clock.nextTurn();
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    await clock.advance(250);
    expect([clock.now(), clock.monotonic()]).toEqual([1_250, 250]);
  });

  it("fires timers in the order of due times, and of setting within one moment (V1, INV-7)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 30 }), async (delays) => {
        const clock = new VirtualClock();
        const fired: { delay: number; index: number; at: number }[] = [];
        for (const [index, delay] of delays.entries()) {
          clock.setTimer(delay, () => fired.push({ delay, index, at: clock.monotonic() }));
        }
        await clock.advance(5);
        const expected = delays.map((delay, index) => ({ delay, index, at: delay }));
        expect(fired).toEqual(expected.toSorted((a, b) => a.delay - b.delay || a.index - b.index));
      }),
      { numRuns: 20 },
    );
  });

  it("fires no timer early and keeps those that are not due", async () => {
    const clock = new VirtualClock();
    let fired = 0;
    clock.setTimer(100, () => (fired += 1));
    await clock.advance(99);
    expect([fired, clock.pending(), clock.nextDueAt()]).toEqual([0, 1, 100]);
    await clock.advance(1);
    expect([fired, clock.pending(), clock.nextDueAt()]).toEqual([1, 0, null]);
  });

  it("lets all run that a timer made ready before the next timer fires (V2)", async () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    clock.setTimer(1, () => {
      void (async () => {
        for (let step = 0; step < 5; step += 1) await Promise.resolve();
        await clock.nextTurn();
        await clock.nextTurn();
        await clock.nextTurn();
        log.push(`first at ${clock.monotonic()}`);
      })();
    });
    clock.setTimer(1, () => log.push("second"));
    await clock.advance(10);
    expect(log).toEqual(["first at 1", "second"]);
  });

  it.each([1, 2])(
    "lets %i real turns that a timer leads to pass before the next timer fires, also at another moment (V2)",
    async (turns) => {
      const clock = new VirtualClock();
      const log: string[] = [];
      for (const delay of [1, 1, 2]) {
        clock.setTimer(delay, () => {
          log.push("fired");
          void (async () => {
            for (let turn = 0; turn < turns; turn += 1) await setImmediate();
            log.push(`went on at ${clock.monotonic()}`);
          })();
        });
      }
      await clock.advance(2);
      expect(log).toEqual(["fired", "went on at 1", "fired", "went on at 1", "fired", "went on at 2"]);
    },
  );

  it("gives up on code that asks for one turn after the other, and can be advanced once that ends", async () => {
    const clock = new VirtualClock();
    const turning = { isOver: false };
    const ended = (async () => {
      while (!turning.isOver) await clock.nextTurn();
    })();
    await expect(clock.advance(1)).rejects.toThrow(/time cannot move on/u);
    turning.isOver = true;
    await ended;
    await clock.advance(1);
    expect(clock.monotonic()).toBe(1);
  });

  it("fires timers that timers set, within the same advance", async () => {
    const clock = new VirtualClock();
    const ticks: number[] = [];
    const tick = (): void => {
      ticks.push(clock.monotonic());
      clock.setTimer(10, tick);
    };
    clock.setTimer(10, tick);
    await clock.advance(35);
    expect(ticks).toEqual([10, 20, 30]);
  });

  it("fires a timer of no delay without an advance", async () => {
    const clock = new VirtualClock();
    await new Promise<void>((resolve) => clock.setTimer(0, resolve));
    expect(clock.monotonic()).toBe(0);
    await clock.advance(5);
    // Set in the very microtask in which the advance ends.
    await new Promise<void>((resolve) => clock.setTimer(0, resolve));
    expect(clock.monotonic()).toBe(5);
  });

  it("does not fire a cancelled timer, also when another of the same moment cancels it", async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    clock.setTimer(5, () => {
      fired.push("first");
      second.cancel();
    });
    const second = clock.setTimer(5, () => fired.push("second"));
    await clock.advance(10);
    second.cancel();
    expect(fired).toEqual(["first"]);
    expect(clock.pending()).toBe(0);
  });

  it("carries out advances asked for at once one after the other", async () => {
    const clock = new VirtualClock();
    await Promise.all([clock.advance(10), clock.advance(20)]);
    expect(clock.monotonic()).toBe(30);
  });

  it("jumps in wall time alone, and no timer notices (V3)", async () => {
    const clock = new VirtualClock(1_000);
    let fired = false;
    clock.setTimer(100, () => (fired = true));
    clock.setWall(3_600_000);
    await clock.settle();
    expect([clock.now(), clock.monotonic(), fired]).toEqual([3_601_000, 0, false]);
    clock.setWall(-500);
    expect(clock.now()).toBe(500);
  });

  it("does not keep cancelled timers", async () => {
    const clock = new VirtualClock();
    for (let index = 0; index < 5_000; index += 1) clock.setTimer(1_000, () => undefined).cancel();
    expect(clock.pending()).toBe(0);
    expect(clock.nextDueAt()).toBeNull();
  });
});

describe("a view of a VirtualClock", () => {
  it("shows another wall time and the same monotonic time", async () => {
    const clock = new VirtualClock(1_000);
    const view = clock.view({ offsetMs: -200 });
    await clock.advance(50);
    expect([view.now(), view.monotonic()]).toEqual([850, 50]);
  });

  it("fires nothing while it is paused, and all of it, in order, once it is resumed (V4)", async () => {
    const clock = new VirtualClock();
    const view = clock.view();
    const fired: string[] = [];
    view.setTimer(20, () => fired.push("view 20"));
    view.setTimer(10, () => fired.push("view 10"));
    view.setTimer(200, () => fired.push("view 200"));
    clock.setTimer(15, () => fired.push("other 15"));
    view.pause();
    await clock.advance(100);
    expect(fired).toEqual(["other 15"]);
    expect(view.monotonic()).toBe(100);
    expect(clock.pending()).toBe(3);
    view.resume();
    await clock.settle();
    expect(fired).toEqual(["other 15", "view 10", "view 20"]);
    await clock.advance(100);
    expect(fired.at(-1)).toBe("view 200");
  });

  it("ends no turn while it is paused", async () => {
    const clock = new VirtualClock();
    const view = clock.view({ paused: true });
    let turned = false;
    void view.nextTurn().then(() => (turned = true));
    await clock.advance(10);
    expect(turned).toBe(false);
    view.resume();
    await clock.settle();
    expect(turned).toBe(true);
  });

  it("never fires again once it is stopped", async () => {
    const clock = new VirtualClock();
    const view = clock.view();
    let fired = 0;
    view.setTimer(10, () => (fired += 1));
    view.stop();
    view.setTimer(10, () => (fired += 1));
    await clock.advance(100);
    view.resume();
    await clock.advance(100);
    expect([fired, clock.pending()]).toEqual([0, 0]);
  });
});
