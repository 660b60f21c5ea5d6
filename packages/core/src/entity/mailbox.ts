// Mailbox: the queue in front of one activation.
//
// Decides which request is next and whether there is room. Runs no handler (activation.ts), stores nothing, reads no clock.
//
//   M1  At most `capacity` requests wait for others to end. The caller asks `isFull` first and refuses one more.
//   M2  Requests leave in the order in which they came. INV-4 rests on it.
//   M3  A request that is still being accepted holds its place: nothing behind it overtakes it.

export interface Waiting {
  /** Whether it may leave: false while its acceptance is not durable yet. */
  readonly isAccepted: boolean;
}

export class Mailbox<Item extends Waiting> {
  readonly capacity: number;
  #waiting: Item[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** @param free how many requests may start: so many of those in the queue wait for their acceptance alone */
  isFull(free: number): boolean {
    return this.#waiting.length - free >= this.capacity;
  }

  push(item: Item): void {
    this.#waiting.push(item);
  }

  /** Takes the first request, or undefined if there is none or its acceptance is not durable yet (M3). */
  next(): Item | undefined {
    return this.#waiting[0]?.isAccepted === true ? this.#waiting.shift() : undefined;
  }

  /** Takes one request out of the queue, wherever it stands. Returns whether it was there. */
  remove(item: Item): boolean {
    const index = this.#waiting.indexOf(item);
    if (index === -1) return false;
    this.#waiting.splice(index, 1);
    return true;
  }

  /** Takes out what stands behind this one, in order; nothing if it is not there. */
  emptyAfter(item: Item): readonly Item[] {
    const index = this.#waiting.indexOf(item);
    return index === -1 ? [] : this.#waiting.splice(index + 1);
  }

  /** Takes out what stands behind the last that is to be kept, in order; all if none is. */
  emptyBehind(isKept: (item: Item) => boolean): readonly Item[] {
    return this.#waiting.splice(this.#waiting.findLastIndex(isKept) + 1);
  }

  /** Takes everything out, in order. */
  empty(): readonly Item[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}
