// SendQueue: what waits to be written to one peer, in a transport that packs several messages into one frame.
//
//   Q1  What was put in comes out in order, in frames of bounded size, and once.
//   Q2  It never holds more than its bounds, nor keeps alive what was taken; what does not fit is refused.

import type { WireMessage } from "../data/wire-message.ts";

/** A message, and what it looks like on the wire. */
export interface QueuedMessage {
  readonly message: WireMessage;
  readonly bytes: Uint8Array;
}

export interface QueueBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** What it takes to tell one message of a frame from the next, at most. */
const FRAMING_BYTES = 8;

export class SendQueue {
  readonly #bounds: QueueBounds;
  #entries: (QueuedMessage | null)[] = [];
  /** How many of the first entries were taken already, and are null: shifting an array costs more the longer it is. */
  #taken = 0;
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get isEmpty(): boolean {
    return this.#taken === this.#entries.length;
  }

  /** Whether there was room for it. One message always fits into an empty queue. */
  add(message: WireMessage, bytes: Uint8Array): boolean {
    const { maxMessages, maxBytes } = this.#bounds;
    const waiting = this.#entries.length - this.#taken;
    if (waiting > 0 && (waiting >= maxMessages || this.#bytes + bytes.length > maxBytes)) return false;
    this.#entries.push({ message, bytes });
    this.#bytes += bytes.length;
    return true;
  }

  /** The messages of the next frame, of `frameBytes` at most unless the first alone is larger. None if nothing waits. */
  take(frameBytes: number): readonly QueuedMessage[] {
    const taken: QueuedMessage[] = [];
    let size = 0;
    while (this.#taken < this.#entries.length) {
      const entry = this.#entries[this.#taken];
      if (entry == null) break;
      const more = entry.bytes.length + FRAMING_BYTES;
      if (size > 0 && size + more > frameBytes) break;
      taken.push(entry);
      size += more;
      this.#bytes -= entry.bytes.length;
      this.#entries[this.#taken] = null;
      this.#taken += 1;
    }
    if (this.isEmpty) {
      this.#entries = [];
      this.#taken = 0;
    } else if (this.#taken > 1_024) {
      this.#entries.splice(0, this.#taken);
      this.#taken = 0;
    }
    return taken;
  }

  /** Everything that waits, in order. The queue is empty then. */
  takeAll(): readonly WireMessage[] {
    return this.take(Number.POSITIVE_INFINITY).map(({ message }) => message);
  }
}
