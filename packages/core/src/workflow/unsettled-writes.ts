// Unsettled writes: those to journals that may still happen, since nobody knows what became of them (journal.ts, J6). Also once
// they are settled: what settles them may be forgotten, and they come after that.

import type { Fence } from "../data/epoch.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

export class UnsettledWrites {
  /**
   * By claim, which is the same object as long as the shard is served: under the next one storage refuses them, so they end
   * with it.
   */
  readonly #byClaim = new WeakMap<Fence, Map<string, readonly JournalEntry[]>>();

  /**
   * @param requestId of the execution: another one may have its id later
   * @param entries what settles them, once it is written
   */
  add(fence: Fence, requestId: string, entries: readonly JournalEntry[]): void {
    const claim = this.#byClaim.get(fence) ?? new Map<string, readonly JournalEntry[]>();
    claim.set(requestId, [...(claim.get(requestId) ?? []), ...entries]);
    this.#byClaim.set(fence, claim);
  }

  /** In the order of ordinals. */
  of(fence: Fence, requestId: string): readonly JournalEntry[] {
    const entries = this.#byClaim.get(fence)?.get(requestId) ?? [];
    return entries.toSorted((a, b) => a.ordinal - b.ordinal);
  }
}
