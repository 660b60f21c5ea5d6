// Unsettled writes: those to journals that may still happen, since nobody knows what became of them (journal.ts, J6).

import type { Fence } from "../data/epoch.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

export class UnsettledWrites {
  /**
   * By claim, which is the same object as long as the shard is served: under the next one storage refuses them, so they end
   * with it.
   */
  readonly #byClaim = new WeakMap<Fence, Map<string, readonly JournalEntry[]>>();

  /** @param entries what settles them, once it is written */
  add(fence: Fence, executionId: string, entries: readonly JournalEntry[]): void {
    const claim = this.#byClaim.get(fence) ?? new Map<string, readonly JournalEntry[]>();
    claim.set(executionId, [...(claim.get(executionId) ?? []), ...entries]);
    this.#byClaim.set(fence, claim);
  }

  /** In the order of ordinals. */
  of(fence: Fence, executionId: string): readonly JournalEntry[] {
    const entries = this.#byClaim.get(fence)?.get(executionId) ?? [];
    return entries.toSorted((a, b) => a.ordinal - b.ordinal);
  }

  settled(fence: Fence, executionId: string): void {
    this.#byClaim.get(fence)?.delete(executionId);
  }
}
