import { afterEach, describe, expect, it, vi } from "vitest";
import { SystemClock } from "./system-clock.ts";

describe("a SystemClock", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("waits out a delay that is longer than the platform's timers take", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    let fired = false;
    new SystemClock().setTimer(2 ** 31 + 5_000, () => (fired = true));
    await vi.advanceTimersByTimeAsync(2 ** 31 + 4_000);
    expect(fired).toBe(false);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(fired).toBe(true);
  });

  it("does not fire a cancelled timer, also one that waits for its second part", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    let fired = false;
    const timer = new SystemClock().setTimer(2 ** 32, () => (fired = true));
    await vi.advanceTimersByTimeAsync(2 ** 31 + 10);
    timer.cancel();
    await vi.advanceTimersByTimeAsync(2 ** 32);
    expect(fired).toBe(false);
    timer.cancel();
  });

  it("fires no timer early by its own monotonic time (INV-7)", async () => {
    const clock = new SystemClock();
    const waits = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const delayMs = index / 10;
        const start = clock.monotonic();
        await new Promise<void>((resolve) => clock.setTimer(delayMs, resolve));
        return clock.monotonic() - start - delayMs;
      }),
    );
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
  });

  it("ends a turn after the microtasks that were ready", async () => {
    const log: string[] = [];
    const turn = new SystemClock().nextTurn().then(() => log.push("turn"));
    queueMicrotask(() => queueMicrotask(() => log.push("microtask")));
    await turn;
    expect(log).toEqual(["microtask", "turn"]);
  });
});
