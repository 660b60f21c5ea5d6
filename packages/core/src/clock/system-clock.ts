import type { Clock, Timer } from "../adapter/clock.ts";
import { platformTurn } from "./platform-turn.ts";
import { TimerList } from "./timer-list.ts";

/** The machine's own time. */
export class SystemClock implements Clock {
  /** By their delay. */
  readonly #timers = new Map<number, TimerList>();

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    let list = this.#timers.get(delayMs);
    if (list === undefined) {
      list = new TimerList(delayMs, (emptied) => {
        if (this.#timers.get(delayMs) === emptied) this.#timers.delete(delayMs);
      });
      this.#timers.set(delayMs, list);
    }
    return list.add(fire);
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      platformTurn(resolve);
    });
  }

  afterTurn(fire: () => void): void {
    platformTurn(fire);
  }
}
