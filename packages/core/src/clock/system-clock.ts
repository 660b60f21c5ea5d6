import type { Clock, Timer } from "../adapter/clock.ts";

/** The longest delay that a timer of the platform takes; a longer one would fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** The machine's own time. */
export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    return new SystemTimer(delayMs, fire);
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

class SystemTimer implements Timer {
  readonly #dueAt: number;
  #fire: (() => void) | undefined;
  #handle: NodeJS.Timeout | undefined;

  constructor(delayMs: number, fire: () => void) {
    this.#dueAt = performance.now() + delayMs;
    this.#fire = fire;
    this.#wait(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#handle);
    this.#fire = undefined;
  }

  #wait(delayMs: number): void {
    this.#handle = setTimeout(() => this.#elapsed(), Math.min(Math.ceil(delayMs), LONGEST_DELAY_MS));
  }

  #elapsed(): void {
    // The platform counts in whole milliseconds from the start of the turn, so it may call up to one too early (INV-7).
    const remainingMs = this.#dueAt - performance.now();
    if (remainingMs > 0) {
      this.#wait(remainingMs);
      return;
    }
    const fire = this.#fire;
    this.#fire = undefined;
    fire?.();
  }
}
