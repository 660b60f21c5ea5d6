// ProcessGate: what a member's process lets through while it runs, is stopped, or is dead.
//
//   P1  While paused, nothing that was asked for comes back and nothing new goes out; on resume all of it does, in an order
//       that chance decides, as when a stopped process finds everything at once. Things of one lane keep their order.
//   P2  After a crash nothing comes back and nothing goes out, for ever. What storage was handed before may have landed.

import type { SeededRandom } from "@holdfast/core/internal";

export class ProcessGate {
  readonly #random: SeededRandom;
  #state: "running" | "paused" | "crashed" = "running";
  #waiting: { readonly lane: string | null; readonly goOn: () => void }[] = [];

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
      const drawn = waiting[Math.floor(this.#random.next() * waiting.length)];
      const first =
        drawn?.lane === null ? waiting.indexOf(drawn) : waiting.findIndex(({ lane }) => lane === drawn?.lane);
      const [next] = waiting.splice(first, 1);
      next?.goOn();
    }
  }

  crash(): void {
    this.#state = "crashed";
    this.#waiting = [];
  }

  /** Resolves when the process runs; never if it is dead. */
  async open(): Promise<void> {
    while (this.#state !== "running") await new Promise<void>((resolve) => this.#whenRunning(null, resolve));
  }

  /** Does something when the process runs; never if it is dead. What waits in one lane is done in the order of calls. */
  soon(act: () => void, lane: string | null = null): void {
    if (this.#state === "running") act();
    else this.#whenRunning(lane, () => this.soon(act, lane));
  }

  #whenRunning(lane: string | null, goOn: () => void): void {
    if (this.#state === "paused") this.#waiting.push({ lane, goOn });
  }
}
