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

/** Signals of one name in their order. To take the first out of a long array would move all the others. */
interface Waiting {
  readonly signals: ReceivedSignal[];
  /** How many of them were taken: fewer than half, so that to take those out costs no more than they did. */
  taken: number;
}

export class SignalBuffer {
  readonly #waiting = new Map<string, Waiting>();
  readonly #takers = new Map<string, TakeSignal[]>();
  /** The place of each signal that came, among all. */
  readonly #places = new Map<ReceivedSignal, number>();

  /** A signal that was not given to the code yet. */
  add(signal: ReceivedSignal): void {
    this.#places.set(signal, this.#places.size);
    const waiting = this.#waiting.get(signal.name);
    if (waiting === undefined) this.#waiting.set(signal.name, { signals: [signal], taken: 0 });
    else waiting.signals.push(signal);
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
    const { signals = [], taken = 0 } = this.#waiting.get(signal.name) ?? {};
    const waiting = [...signals.slice(taken), signal].toSorted((a, b) => place(a) - place(b));
    this.#waiting.set(signal.name, { signals: waiting, taken: 0 });
    this.#match(signal.name);
  }

  #match(name: string): void {
    const waiting = this.#waiting.get(name);
    const takers = this.#takers.get(name);
    if (waiting === undefined || takers === undefined) return;
    const { signals } = waiting;
    while (waiting.taken < signals.length && takers.length > 0) {
      const take = takers.shift() as TakeSignal;
      if (!take(signals[waiting.taken] as ReceivedSignal)) continue;
      waiting.taken += 1;
      if (waiting.taken * 2 < signals.length) continue;
      signals.splice(0, waiting.taken);
      waiting.taken = 0;
    }
  }
}
