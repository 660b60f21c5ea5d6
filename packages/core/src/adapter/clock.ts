/** Cancels a timer. Harmless after it fired. */
export interface Timer {
  cancel(): void;
}

/** All that the core knows of time. A simulation gives a virtual one. */
export interface Clock {
  /** Wall time in milliseconds since 1970, for due times and cron. May jump. */
  now(): number;
  /** Milliseconds since some fixed moment; never goes back, and goes on while the process is stopped. For leases and time-outs. */
  monotonic(): number;
  /** Calls `fire` once, not before `delayMs` have passed; any finite delay of 0 or more. */
  setTimer(delayMs: number, fire: () => void): Timer;
  /** Resolves when all that is ready now has run, microtasks included. */
  nextTurn(): Promise<void>;
  /** Calls `fire` then: for who asks often, a promise would cost as much again. */
  afterTurn(fire: () => void): void;
}
