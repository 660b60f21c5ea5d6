import type { Timer } from "../adapter/clock.ts";

/** The longest delay that a timer of the platform takes; a longer one would fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/**
 * Timers of one delay. They fall due in the order in which they were set, so that one timer of the platform, for the first,
 * does for all. Nearly each call has a time-out, which nearly always is cancelled: a timer of the platform for each took
 * a fifteenth of a short call.
 */
export class TimerList {
  readonly #delayMs: number;
  /** Nothing waits any more. */
  readonly #emptied: (list: TimerList) => void;
  #first: ListedTimer | null = null;
  #last: ListedTimer | null = null;
  #handle: NodeJS.Timeout | undefined;

  constructor(delayMs: number, emptied: (list: TimerList) => void) {
    this.#delayMs = delayMs;
    this.#emptied = emptied;
  }

  add(fire: () => void): Timer {
    const timer = new ListedTimer(this, performance.now() + this.#delayMs, fire);
    timer.previous = this.#last;
    if (this.#last === null) this.#first = timer;
    else this.#last.next = timer;
    this.#last = timer;
    this.#await();
    return timer;
  }

  cancel(timer: ListedTimer): void {
    this.#remove(timer);
    if (this.#first === null) this.#end();
  }

  #await(): void {
    if (this.#handle !== undefined || this.#first === null) return;
    const remainingMs = Math.max(0, this.#first.dueAt - performance.now());
    this.#handle = setTimeout(() => this.#elapsed(), Math.min(Math.ceil(remainingMs), LONGEST_DELAY_MS));
  }

  #elapsed(): void {
    this.#handle = undefined;
    try {
      // The platform counts in whole milliseconds from the start of the turn, so it may call up to one too early (INV-7).
      for (let timer = this.#first; timer !== null && timer.dueAt <= performance.now(); timer = this.#first) {
        const { fire } = timer;
        this.#remove(timer);
        fire?.();
      }
    } finally {
      // Also where one of them threw: the others do not suffer for it.
      if (this.#first === null) this.#end();
      else this.#await();
    }
  }

  #remove(timer: ListedTimer): void {
    if (timer.previous === null) this.#first = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next === null) this.#last = timer.previous;
    else timer.next.previous = timer.previous;
    timer.leave();
  }

  #end(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
    this.#emptied(this);
  }
}

class ListedTimer implements Timer {
  /** Monotonic. */
  readonly dueAt: number;
  fire: (() => void) | undefined;
  previous: ListedTimer | null = null;
  next: ListedTimer | null = null;
  #list: TimerList | null;

  constructor(list: TimerList, dueAt: number, fire: () => void) {
    this.#list = list;
    this.dueAt = dueAt;
    this.fire = fire;
  }

  cancel(): void {
    this.#list?.cancel(this);
  }

  /** It is in no list any more, and keeps nothing: who set it may keep it for long. */
  leave(): void {
    this.#list = null;
    this.fire = undefined;
    this.previous = null;
    this.next = null;
  }
}
