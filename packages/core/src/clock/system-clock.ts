import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../adapter/clock.ts";
import { TimerList } from "./timer-list.ts";

/** The platform's own, also after a test's framework exchanged it: a cluster of real time shuts down then, too. */
const nextTurn = setImmediate;

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
      nextTurn(resolve);
    });
  }

  afterTurn(fire: () => void): void {
    nextTurn(fire);
  }
}
