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

  it("fires timers of one delay in the order in which they were set, without those that were cancelled", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const clock = new SystemClock();
    const fired: string[] = [];
    const [, b, , d] = ["a", "b", "c", "d"].map((name) => clock.setTimer(100, () => fired.push(name)));
    await vi.advanceTimersByTimeAsync(50);
    clock.setTimer(100, () => fired.push("e"));
    b?.cancel();
    d?.cancel();
    await vi.advanceTimersByTimeAsync(50);
    expect(fired).toEqual(["a", "c"]);
    await vi.advanceTimersByTimeAsync(49);
    expect(fired).toEqual(["a", "c"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(fired).toEqual(["a", "c", "e"]);
    expect(vi.getTimerCount(), "nothing is left with the platform").toBe(0);
  });

  it("fires those that are set and those that are cancelled by another one as any others", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const clock = new SystemClock();
    const fired: string[] = [];
    clock.setTimer(100, () => {
      fired.push("a");
      next.cancel();
      clock.setTimer(100, () => fired.push("c"));
    });
    const next = clock.setTimer(100, () => fired.push("b"));
    await vi.advanceTimersByTimeAsync(199);
    expect(fired).toEqual(["a"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(fired).toEqual(["a", "c"]);
  });

  it("fires the others of its delay where one threw", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const clock = new SystemClock();
    let fired = false;
    clock.setTimer(100, () => {
      throw new Error("no");
    });
    clock.setTimer(100, () => (fired = true));
    expect(() => vi.advanceTimersByTime(100)).toThrow("no");
    vi.advanceTimersByTime(1);
    expect(fired).toBe(true);
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

  it("ends a turn also where it was loaded while a test's framework kept the platform's back", async () => {
    vi.resetModules();
    vi.useFakeTimers();
    const { SystemClock: Loaded } = await import("./system-clock.ts");
    vi.useRealTimers();
    await new Loaded().nextTurn();
  });

  it("ends a turn also while a test's framework keeps the platform's back", async () => {
    vi.useFakeTimers();
    const clock = new SystemClock();
    await clock.nextTurn();
    await new Promise<void>((resolve) => clock.afterTurn(resolve));
  });
});
