// Detachment: whether this runner should keep off its shards, by how storage and leases answered lately.
//
// A pure state machine: observations and times in, decisions out.

/** Failing for this long without one success: detach. */
export const DETACH_AFTER_MS = 5_000;
/** Answering for this long without one failure: attach again. */
export const ATTACH_AFTER_MS = 2_000;

export class Detachment {
  #isDetached = false;
  /** Since when all observations were alike, and what they were. */
  #since: { readonly at: number; readonly healthy: boolean } | null = null;

  get isDetached(): boolean {
    return this.#isDetached;
  }

  /** @param at monotonic time in milliseconds. Returns what is to be done now, if anything */
  observe(healthy: boolean, at: number): "detach" | "attach" | null {
    if (this.#since === null || this.#since.healthy !== healthy) this.#since = { at, healthy };
    const lasted = at - this.#since.at;
    if (!healthy && !this.#isDetached && lasted >= DETACH_AFTER_MS) {
      this.#isDetached = true;
      return "detach";
    }
    if (healthy && this.#isDetached && lasted >= ATTACH_AFTER_MS) {
      this.#isDetached = false;
      return "attach";
    }
    return null;
  }
}
