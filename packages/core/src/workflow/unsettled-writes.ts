// Unsettled writes: those to journals that may still happen, since nobody knows what became of them (journal.ts, J6). Also once
// they are settled: what settles them may be forgotten, and they come after that. Under the next claim storage refuses them.

import type { Fence } from "../data/epoch.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import { ByClaim } from "./by-claim.ts";

export class UnsettledWrites {
  readonly #entries = new ByClaim<readonly JournalEntry[]>();

  /**
   * @param requestId of the execution: another one may have its id later
   * @param entries what settles them, once it is written
   */
  add(fence: Fence, requestId: string, entries: readonly JournalEntry[]): void {
    this.#entries.set(fence, requestId, [...(this.#entries.get(fence, requestId) ?? []), ...entries]);
  }

  /** In the order of ordinals. */
  of(fence: Fence, requestId: string): readonly JournalEntry[] {
    return (this.#entries.get(fence, requestId) ?? []).toSorted((a, b) => a.ordinal - b.ordinal);
  }
}
