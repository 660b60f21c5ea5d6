// Detachment: whether this runner should keep off its shards, by how storage and the lease store answered lately.
//
// A pure state machine: outcomes of calls and times in, decisions out.
//
//   D1  Each of both is judged by itself: the answers of one do not hide the silence of the other.
//   D2  Either out of reach for DETACH_AFTER_MS detaches. Both answering for a stretch attaches.
//   D3  Who detaches again soon after it attached waits for twice as long a stretch, so that flapping moves few shards.

import { Reachability } from "./reachability.ts";

/** Out of reach for this long, without one answer: detach. */
export const DETACH_AFTER_MS = 5_000;
/** Answering for this long without one failure: attach again. */
export const ATTACH_AFTER_MS = 2_000;
/** The longest stretch asked for (D3). */
export const LONGEST_STRETCH_MS = 60_000;

export const BACKENDS = ["storage", "leases"] as const;
export type Backend = (typeof BACKENDS)[number];

export class Detachment {
  readonly reachability: Readonly<Record<Backend, Reachability>> = {
    storage: new Reachability(DETACH_AFTER_MS),
    leases: new Reachability(DETACH_AFTER_MS),
  };
  #reason: string | null = null;
  #stretchMs = ATTACH_AFTER_MS;
  #attachedAt: number | null = null;

  get isDetached(): boolean {
    return this.#reason !== null;
  }

  /** Why it is detached, or null. */
  get reason(): string | null {
    return this.#reason;
  }

  /** @param at monotonic time in milliseconds. Returns what is to be done now, if anything */
  decide(at: number): "detach" | "attach" | null {
    const { storage, leases } = this.reachability;
    if (this.#reason === null) {
      const out = BACKENDS.filter((backend) => this.reachability[backend].troubleMs(at) >= DETACH_AFTER_MS);
      if (out.length === 0) return null;
      const isSoon = this.#attachedAt !== null && at - this.#attachedAt < LONGEST_STRETCH_MS;
      this.#stretchMs = isSoon ? Math.min(this.#stretchMs * 2, LONGEST_STRETCH_MS) : ATTACH_AFTER_MS;
      this.#reason = `${out.map((backend) => (backend === "leases" ? "the lease store" : backend)).join(" and ")} ${
        out.length === 1 ? "is" : "are"
      } out of reach`;
      return "detach";
    }
    if (Math.min(storage.answeringMs(at), leases.answeringMs(at)) < this.#stretchMs) return null;
    this.#reason = null;
    this.#attachedAt = at;
    return "attach";
  }
}
