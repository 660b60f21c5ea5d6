// Stream: how far the producer of a streamed reply may run ahead of its consumer, and how the consumer puts chunks that
// came late, twice or out of order back in line.
//
// The producer has at most CHUNK_WINDOW chunks under way that were not acknowledged, so a slow consumer slows the handler
// down and memory does not grow, on either side.

import type { Chunk } from "../data/reply.ts";

/** How many chunks may be under way. The consumer acknowledges at half of it. */
export const CHUNK_WINDOW = 32;
/**
 * How much may be under way, in characters, and one chunk more at half of it, where the consumer acknowledges. A transport
 * keeps so much for one peer and drops the rest: a window of chunks that are as large as they may be would be more than that.
 */
export const CHUNK_WINDOW_CHARACTERS: number = 4 * 1_048_576;

/** The producer's side. */
export class ChunkWindow {
  #acknowledged = 0;
  #closed = false;
  #isHeard = false;
  #isUnread = false;
  /** How large each chunk under way is, and all of them. */
  readonly #sizes = new Map<number, number>();
  #size = 0;
  #wake: (() => void) | null = null;
  /**
   * Called when a consumer says again that it came no further, and the producer waits for it: all that was on its way may have been
   * lost, and then nothing that comes shows it a gap.
   */
  whenStalled: (() => void) | null = null;

  /** Whether its consumer was heard of since this was asked last: it says every now and then how far it came. */
  heardStill(): boolean {
    const heard = this.#isHeard;
    this.#isHeard = false;
    return heard;
  }

  acknowledge(upTo: number): void {
    this.#isHeard = true;
    this.#isUnread = false;
    if (upTo <= this.#acknowledged) {
      if (upTo === this.#acknowledged && this.#wake !== null) this.whenStalled?.();
      return;
    }
    this.#acknowledged = upTo;
    for (const [index, size] of this.#sizes) {
      if (index >= upTo) break;
      this.#sizes.delete(index);
      this.#size -= size;
    }
    this.#wake?.();
  }

  /** Nobody reads it now: the producer waits no more, until a consumer is heard of. */
  unread(): void {
    this.#isUnread = true;
    this.#sizes.clear();
    this.#size = 0;
    this.#wake?.();
  }

  /** Lets the producer go on without waiting: it is to find out itself why there is nobody to wait for. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** Resolves when chunk `index`, of so many characters, may be sent, and takes it to be. One producer waits at a time. */
  async room(index: number, size: number = 0): Promise<void> {
    while (!this.#closed && !this.#isUnread && !this.#hasRoom(index, size)) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
    // Who was told of it again while it waited has it, and says no more of it.
    if (this.#isUnread || index < this.#acknowledged) return;
    this.#sizes.set(index, size);
    this.#size += size;
  }

  #hasRoom(index: number, size: number): boolean {
    if (index - this.#acknowledged >= CHUNK_WINDOW) return false;
    // The consumer acknowledges what it took once that is half of it: one that has taken less must not be waited for.
    return this.#size < CHUNK_WINDOW_CHARACTERS / 2 || this.#size + size <= CHUNK_WINDOW_CHARACTERS;
  }
}

/** The consumer's side: an async iterator over the encoded chunks, in order, each once. */
export class ChunkQueue {
  readonly #acknowledge: (upTo: number) => void;
  readonly #buffered = new Map<number, string>();
  #next = 0;
  #acknowledged = 0;
  /** How much was taken since. */
  #unacknowledged = 0;
  /** Whether its reader left. */
  #isLeft = false;
  /** How many chunks there are in all, once known. */
  #total: number | null = null;
  /** What comes after the last of them, if that is an error. */
  #endError: Error | null = null;
  #failure: Error | null = null;
  #gapAt: number | null = null;
  #wake: (() => void) | null = null;

  constructor(acknowledge: (upTo: number) => void) {
    this.#acknowledge = acknowledge;
  }

  push(chunk: Chunk): void {
    if (chunk.index < this.#next || this.#buffered.has(chunk.index)) return;
    this.#buffered.set(chunk.index, chunk.value);
    this.#wake?.();
  }

  /** @param error with which it ended after the last of them */
  finish(total: number, error: Error | null = null): void {
    this.#total = total;
    this.#endError = error;
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#failure ??= this.#endError ?? error;
    this.#wake?.();
  }

  /** Its reader left, and waits no more. */
  leave(): void {
    this.#isLeft = true;
    this.#wake?.();
  }

  /** Whether its producer is known to have come to its end. */
  get hasEnd(): boolean {
    return this.#total !== null;
  }

  /** Whether a chunk below this index is missing still. */
  lacksBelow(index: number): boolean {
    for (let at = this.#next; at < index; at += 1) if (!this.#buffered.has(at)) return true;
    return false;
  }

  /** Whether the next chunk is missing although later ones, or the end, are here: it is late, or was lost on the way. */
  get hasGap(): boolean {
    if (this.#total === null) return this.#buffered.size > 0 && !this.#buffered.has(this.#next);
    return this.lacksBelow(this.#total);
  }

  /** Whether there was a gap at the same place the last time this was asked. What is merely late comes in between. */
  hasGapStill(): boolean {
    const before = this.#gapAt;
    this.#gapAt = this.hasGap ? this.#next : null;
    return this.#gapAt !== null && this.#gapAt === before;
  }

  /** Says again how far the consumer came, in case the last word was lost. */
  acknowledgeAgain(): void {
    this.#acknowledge(this.#next);
  }

  /** The next chunk, or undefined at the end, and where its reader left. Chunks that came before a failure are handed out first. */
  async take(): Promise<string | undefined> {
    while (!this.#isLeft) {
      const value = this.#buffered.get(this.#next);
      if (value !== undefined) {
        this.#buffered.delete(this.#next);
        this.#next += 1;
        this.#unacknowledged += value.length;
        const isMuch = this.#unacknowledged >= CHUNK_WINDOW_CHARACTERS / 2;
        if (isMuch || this.#next - this.#acknowledged >= CHUNK_WINDOW / 2) {
          this.#acknowledged = this.#next;
          this.#unacknowledged = 0;
          this.#acknowledge(this.#next);
        }
        return value;
      }
      if (this.#total !== null && this.#next >= this.#total) {
        if (this.#endError !== null) throw this.#endError;
        return undefined;
      }
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
    return undefined;
  }
}
