// Pace: has an execution go on for so many steps at a time, and takes the time of each.
//
// It waits as code of its own that the execution awaits, which keeps it in memory. It lives in this process: an execution
// that another copy replays must not be paced.

export class Pace {
  #left = 0;
  #times: number[] = [];
  #go: (() => void) | null = null;
  #done: ((times: readonly number[]) => void) | null = null;

  /** Lets the execution do so many more steps. Resolves, when they are done, to the milliseconds of each. */
  advance(count: number): Promise<readonly number[]> {
    if (count === 0) return Promise.resolve([]);
    this.#times = [];
    this.#left = count;
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#go?.();
      this.#go = null;
    });
  }

  /** For the execution's code: does a step when it may. */
  async step(perform: () => Promise<unknown>): Promise<void> {
    if (this.#left === 0) await new Promise<void>((resolve) => (this.#go = resolve));
    const from = performance.now();
    await perform();
    this.#times.push(performance.now() - from);
    this.#left -= 1;
    if (this.#left === 0) this.#done?.(this.#times);
  }
}
