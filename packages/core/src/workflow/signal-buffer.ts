// SignalBuffer: the signals that an execution was sent and its code was not given yet, and the steps that wait for one.
//
//   S1  Signals of one name are given in the order in which they were accepted, to steps in the order in which the code
//       asked for them. None is lost where nobody waits.
//   S2  A signal leaves the buffer only for a step that takes it.

import { removeFrom } from "../data/remove-from.ts";

/** A signal that came. */
export interface ReceivedSignal {
  readonly requestId: string;
  readonly name: string;
  readonly payload: unknown;
}

/** Returns whether the step takes the signal: one that has ended meanwhile does not. */
export type TakeSignal = (signal: ReceivedSignal) => boolean;

export class SignalBuffer {
  readonly #waiting = new Map<string, ReceivedSignal[]>();
  readonly #takers = new Map<string, TakeSignal[]>();
  /** The place of each signal that came, among all. */
  readonly #places = new Map<ReceivedSignal, number>();

  /** A signal that was not given to the code yet. */
  add(signal: ReceivedSignal): void {
    this.#places.set(signal, this.#places.size);
    const waiting = this.#waiting.get(signal.name);
    if (waiting === undefined) this.#waiting.set(signal.name, [signal]);
    else waiting.push(signal);
    this.#match(signal.name);
  }

  /** Gives the next signal of this name to `take`, at once if there is one. Returns what ends the wait. */
  wait(name: string, take: TakeSignal): () => void {
    const takers = this.#takers.get(name) ?? [];
    this.#takers.set(name, takers);
    takers.push(take);
    this.#match(name);
    return () => removeFrom(takers, take);
  }

  /** The step that took it could not be given it: it has its place again. */
  giveBack(signal: ReceivedSignal): void {
    const place = (of: ReceivedSignal): number => this.#places.get(of) ?? 0;
    const waiting = this.#waiting.get(signal.name) ?? [];
    this.#waiting.set(
      signal.name,
      [...waiting, signal].toSorted((a, b) => place(a) - place(b)),
    );
    this.#match(signal.name);
  }

  #match(name: string): void {
    const waiting = this.#waiting.get(name) ?? [];
    const takers = this.#takers.get(name) ?? [];
    while (waiting.length > 0 && takers.length > 0) {
      const take = takers.shift() as TakeSignal;
      if (take(waiting[0] as ReceivedSignal)) waiting.shift();
    }
  }
}
