// KnownSequences: the sequences of requests that this process has taken up, so that what it writes of them need not look
// them up again. A request that it does not know is looked up.

/** So many of them, and as many again that were there before those. */
const GENERATION = 8_192;

export class KnownSequences {
  #recent = new Map<string, number>();
  #older: ReadonlyMap<string, number> = new Map();

  /** @param sequence the request's for good: none gets another one, and none gets one that another had */
  note(requestId: string, sequence: number): void {
    if (this.#recent.size >= GENERATION) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(requestId, sequence);
  }

  of(requestId: string): number | null {
    return this.#recent.get(requestId) ?? this.#older.get(requestId) ?? null;
  }

  /** For the last write of it. */
  take(requestId: string): number | null {
    const sequence = this.of(requestId);
    this.#recent.delete(requestId);
    return sequence;
  }
}
