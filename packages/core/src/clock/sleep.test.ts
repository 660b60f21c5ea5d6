import { describe, expect, it } from "vitest";
import { sleep } from "./sleep.ts";
import { VirtualClock } from "./virtual-clock.ts";

describe("sleep", () => {
  it("resolves when its time has passed and leaves no listener behind", async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    let awake = false;
    void sleep(clock, 100, controller.signal).then(() => (awake = true));
    await clock.advance(99);
    expect(awake).toBe(false);
    await clock.advance(1);
    expect(awake).toBe(true);
    controller.abort();
  });

  it("resolves as soon as its signal is aborted, and leaves no timer behind", async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const sleeping = sleep(clock, 100, controller.signal);
    controller.abort();
    await sleeping;
    expect(clock.pending()).toBe(0);
    await sleep(clock, 100, controller.signal);
    expect(clock.pending()).toBe(0);
  });
});
