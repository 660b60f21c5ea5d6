// SendQueue: what waits to be written to one stream.
//
//   Q1  What was put in comes out in order, in frames of bounded size, and once.
//   Q2  It never holds more than its bounds; what does not fit is refused.

import type { WireMessage } from "@holdfast/core/adapter";
import { packFrame, sizeInFrame } from "./protocol.ts";

/** A frame is closed at this size, unless one message alone is larger: others would wait for long behind it. */
const FRAME_BYTES = 256 * 1_024;

interface Entry {
  readonly message: WireMessage;
  readonly bytes: Buffer;
}

export interface QueueBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export class SendQueue {
  readonly #bounds: QueueBounds;
  #entries: Entry[] = [];
  /** How many of the first entries were taken already: shifting an array costs more the longer it is. */
  #taken = 0;
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get isEmpty(): boolean {
    return this.#taken === this.#entries.length;
  }

  /** Whether there was room for it. One message always fits into an empty queue. */
  add(message: WireMessage, bytes: Buffer): boolean {
    const { maxMessages, maxBytes } = this.#bounds;
    const waiting = this.#entries.length - this.#taken;
    if (waiting > 0 && (waiting >= maxMessages || this.#bytes + bytes.length > maxBytes)) return false;
    this.#entries.push({ message, bytes });
    this.#bytes += bytes.length;
    return true;
  }

  /** The next frame, or null if nothing waits. */
  takeFrame(): Buffer | null {
    const parts: Buffer[] = [];
    let size = 0;
    while (this.#taken < this.#entries.length) {
      const entry = this.#entries[this.#taken];
      if (entry === undefined) break;
      const more = sizeInFrame(entry.bytes);
      if (size > 0 && size + more > FRAME_BYTES) break;
      parts.push(entry.bytes);
      size += more;
      this.#bytes -= entry.bytes.length;
      this.#taken += 1;
    }
    if (this.isEmpty) {
      this.#entries = [];
      this.#taken = 0;
    } else if (this.#taken > 1_024) {
      this.#entries.splice(0, this.#taken);
      this.#taken = 0;
    }
    return size === 0 ? null : packFrame(parts);
  }

  /** Everything that waits, in order. The queue is empty then. */
  takeAll(): readonly WireMessage[] {
    const rest = this.#entries.slice(this.#taken).map(({ message }) => message);
    this.#entries = [];
    this.#taken = 0;
    this.#bytes = 0;
    return rest;
  }
}
