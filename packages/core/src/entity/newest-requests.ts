// NewestRequests: whether a request that comes as sent for the first time surely never came before, without keeping what came.
//
// The ids of one sender rise, so what is above all that came from it is new here. What it sent before this runner had the shard
// may have come to another one, or to this one when it had the shard before: that is not told from what is new, and counts as old.

import type { Envelope } from "../data/envelope.ts";
import { firstRequestIdOf } from "../data/request-id.ts";

/** How far the clocks of members may be apart, in milliseconds. */
const CLOCK_SKEW_MS = 1_000;
/** So many senders are remembered. */
const MOST_SENDERS = 10_000;

/** The least id that a request has which was sent when a shard was here already. @param since wall time */
export function firstIdSince(since: number): string {
  return firstRequestIdOf(since + CLOCK_SKEW_MS);
}

export class NewestRequests {
  readonly #now: () => number;
  readonly #highest = new Map<string, string>();
  /** What is below may have come from a sender that was forgotten. */
  #first = "";

  /** @param now wall time */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A request came, from its sender or out of storage. Returns whether it is above all others of its sender. */
  note({ sender, requestId }: Pick<Envelope, "sender" | "requestId">): boolean {
    const highest = this.#highest.get(sender);
    if (highest === undefined && this.#highest.size >= MOST_SENDERS) {
      // Clocks may have been set back since: ids never go back.
      for (const id of [firstIdSince(this.#now()), ...this.#highest.values()])
        if (id > this.#first) this.#first = id;
      this.#highest.clear();
    }
    if (requestId <= (highest ?? this.#first)) return false;
    this.#highest.set(sender, requestId);
    return true;
  }
}
