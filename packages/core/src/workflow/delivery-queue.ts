// DeliveryQueue: the order in which results reach the code of an execution, live and in replay alike.
//
//   Q1  Results are delivered in the order of their ordinals, the order in which they were recorded.
//   Q2  Before each delivery a full turn passes, so that everything that the code does by itself, and about the delivery
//       before, is done first. With Q1, Promise.race and its like decide in replay as they decided live, also where one
//       of the promises is no step's. A turn that executions shared would be shorter for those that ask for it late.
//   Q3  An ordinal that was announced holds up all later ones until it is delivered or given up. One whose write failed is
//       neither: then this copy of the execution is over.

import type { Clock } from "../adapter/clock.ts";

/** A result that will be delivered. */
interface Announced {
  readonly ordinal: number;
  /** Hands it to the code; null: it is not there yet. */
  settle: (() => void) | null;
}

export class DeliveryQueue {
  readonly #clock: Clock;
  /** Called when nothing is left to deliver now. */
  readonly #idle: () => void;
  /** Rising. */
  readonly #announced: Announced[];
  readonly #lastRecorded: number;
  #isPumping = false;
  #isStopped = false;

  /** @param recorded the ordinals of recorded results, rising: announced from the start */
  constructor(clock: Clock, recorded: readonly number[], idle: () => void) {
    this.#clock = clock;
    this.#idle = idle;
    this.#announced = recorded.map((ordinal) => ({ ordinal, settle: null }));
    this.#lastRecorded = recorded.at(-1) ?? -1;
  }

  /** Whether recorded results wait. */
  get isReplaying(): boolean {
    const next = this.#announced[0];
    return next !== undefined && next.ordinal <= this.#lastRecorded;
  }

  get isPumping(): boolean {
    return this.#isPumping;
  }

  /** A result with this ordinal, higher than all before, will be delivered. */
  announce(ordinal: number): void {
    this.#announced.push({ ordinal, settle: null });
  }

  /** The result is there: `settle` hands it to the code when its turn comes. */
  deliver(ordinal: number, settle: () => void): void {
    const announced = this.#announced[this.#placeOf(ordinal)];
    if (announced?.ordinal !== ordinal) return;
    announced.settle = settle;
    this.#pump();
  }

  /** There is no such result after all: its transaction could not commit. */
  giveUp(ordinal: number): void {
    const place = this.#placeOf(ordinal);
    if (this.#announced[place]?.ordinal === ordinal) this.#announced.splice(place, 1);
    this.#pump();
  }

  /** Nothing is delivered any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #pump(): void {
    if (!this.#isPumping) this.#deliverIfReady();
  }

  #deliverIfReady(): void {
    this.#isPumping = this.#isNextReady();
    if (this.#isPumping) this.#clock.afterTurn(this.#deliverNext);
    else this.#idle();
  }

  /** Of a result that is ready, when its turn has come. Between that and this the queue may have been stopped. */
  readonly #deliverNext = (): void => {
    if (!this.#isStopped) this.#announced.shift()?.settle?.();
    this.#deliverIfReady();
  };

  #isNextReady(): boolean {
    return !this.#isStopped && (this.#announced[0]?.settle ?? null) !== null;
  }

  /** Where the ordinal is, or would be, among those that are announced. */
  #placeOf(ordinal: number): number {
    let from = 0;
    let to = this.#announced.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#announced[middle] as Announced).ordinal < ordinal) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
