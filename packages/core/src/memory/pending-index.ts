// PendingIndex: the pending requests of one shard, so that reading the due ones looks at no other.
//
// Orders entries and forgets those that are over. Reads no clock: its caller says what time it is, and need not say it in
// order, since members' clocks differ and jump.
//
//   P1  Every pending entry is in `#due` or in `#later`, and its `place` says which. What else lies there is skipped.
//   P2  `#due` is in the order of sequences.
//   P3  No entry of `#due` has a `deliverAt` after `#promotedUpTo`.

import { BinaryHeap } from "../clock/binary-heap.ts";

/** What the index needs of an entry. `place` is the index's own. */
export interface PendingEntry {
  readonly sequence: number;
  deliverAt: number | null;
  place: "none" | "due" | "later";
}

interface Later<E> {
  readonly dueAt: number;
  readonly entry: E;
}

export class PendingIndex<E extends PendingEntry> {
  #due: E[] = [];
  #over = 0;
  readonly #later = new BinaryHeap<Later<E>>((a, b) => a.dueAt < b.dueAt);
  #laterCount = 0;
  #promotedUpTo = Number.NEGATIVE_INFINITY;

  add(entry: E): void {
    if (entry.deliverAt === null || entry.deliverAt <= this.#promotedUpTo) this.#insertDue(entry);
    else this.#insertLater(entry, entry.deliverAt);
  }

  /** Forgets an entry. Before it changes its `deliverAt`, too: then it is added again. */
  remove(entry: E): void {
    if (entry.place === "due") {
      this.#over += 1;
      entry.place = "none";
      if (this.#over > 64 && this.#over * 2 > this.#due.length) this.#compact();
    } else if (entry.place === "later") {
      this.#laterCount -= 1;
      entry.place = "none";
      if (this.#later.size > 64 && this.#later.size > this.#laterCount * 2) this.#later.retain(isLater);
    }
  }

  /** The entries that are due at `now`, in the order of sequences. The index must not change while they are read. */
  *due(now: number): Generator<E, void, undefined> {
    this.#moveTo(now);
    for (const entry of this.#due) {
      if (entry.place === "due") yield entry;
    }
  }

  /** Whether anything is due at `now`. */
  hasDue(now: number): boolean {
    this.#moveTo(now);
    return this.#due.length > this.#over;
  }

  /** The earliest `deliverAt` after `now`, or null. */
  nextDueAt(now: number): number | null {
    this.#moveTo(now);
    for (;;) {
      const first = this.#later.peek();
      if (first === undefined) return null;
      if (isLater(first)) return first.dueAt;
      this.#later.pop();
    }
  }

  /** How many entries take memory here, those included that are over and were not cleared away yet. */
  entriesHeld(): number {
    return this.#due.length + this.#later.size;
  }

  #moveTo(now: number): void {
    if (now < this.#promotedUpTo) this.#demoteAfter(now);
    this.#promotedUpTo = now;
    for (;;) {
      const first = this.#later.peek();
      if (first === undefined || first.dueAt > now) return;
      this.#later.pop();
      if (!isLater(first)) continue;
      this.#laterCount -= 1;
      this.#insertDue(first.entry);
    }
  }

  /** The caller's clock is behind the one that was last read by: what is not due there waits again. */
  #demoteAfter(now: number): void {
    this.#compact();
    const due = this.#due;
    this.#due = [];
    for (const entry of due) {
      if (entry.deliverAt === null || entry.deliverAt <= now) this.#due.push(entry);
      else this.#insertLater(entry, entry.deliverAt);
    }
  }

  #insertLater(entry: E, dueAt: number): void {
    entry.place = "later";
    this.#laterCount += 1;
    this.#later.push({ dueAt, entry });
  }

  #insertDue(entry: E): void {
    const due = this.#due;
    entry.place = "due";
    const last = due.at(-1);
    if (last === undefined || last.sequence < entry.sequence) {
      due.push(entry);
      return;
    }
    let low = 0;
    let high = due.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((due[middle] as E).sequence < entry.sequence) low = middle + 1;
      else high = middle;
    }
    // It was due before, was put off, and its old place is still there.
    if (due[low] === entry) this.#over -= 1;
    else due.splice(low, 0, entry);
  }

  #compact(): void {
    this.#due = this.#due.filter(({ place }) => place === "due");
    this.#over = 0;
  }
}

/** Whether the entry still waits for this moment: it may be over, be due by now, or have been put off to another one. */
function isLater({ entry, dueAt }: Later<PendingEntry>): boolean {
  return entry.place === "later" && entry.deliverAt === dueAt;
}
