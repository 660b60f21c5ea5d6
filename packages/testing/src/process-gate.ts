// ProcessGate: what a member's process lets through while it runs, is stopped, or is dead.
//
//   P1  While paused, nothing that was asked for comes back and nothing new goes out; on resume all of it does, in an order
//       that chance decides, as when a stopped process finds everything at once.
//   P2  After a crash nothing comes back and nothing goes out, for ever. What storage was handed before may have landed.

import type { SeededRandom } from "@holdfast/core/internal";

export class ProcessGate {
  readonly #random: SeededRandom;
  #state: "running" | "paused" | "crashed" = "running";
  #waiting: (() => void)[] = [];

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const waiting = this.#waiting;
    this.#waiting = [];
    while (waiting.length > 0) {
      const [next] = waiting.splice(Math.floor(this.#random.next() * waiting.length), 1);
      next?.();
    }
  }

  crash(): void {
    this.#state = "crashed";
    this.#waiting = [];
  }

  /** Resolves when the process runs; never if it is dead. */
  async open(): Promise<void> {
    while (this.#state !== "running") {
      await new Promise<void>((resolve) => {
        if (this.#state === "paused") this.#waiting.push(resolve);
      });
    }
  }

  /** Does something when the process runs; never if it is dead. */
  soon(act: () => void): void {
    if (this.#state === "running") act();
    else void this.open().then(act);
  }
}
