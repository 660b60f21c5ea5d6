/** Does so many things at a time. The others wait, each behind one of them, in the order in which they came. */
export class Lanes {
  /** For each lane, what resolves once all that is in it is done. */
  readonly #ends: Promise<unknown>[];
  #next = 0;

  constructor(count: number) {
    this.#ends = Array.from({ length: count }, () => Promise.resolve());
  }

  take(work: () => Promise<void>): Promise<void> {
    const lane = this.#next;
    this.#next = (lane + 1) % this.#ends.length;
    const done = (this.#ends[lane] ?? Promise.resolve()).then(work);
    // Who is behind it does not fail with it.
    this.#ends[lane] = done.catch(() => undefined);
    return done;
  }
}
