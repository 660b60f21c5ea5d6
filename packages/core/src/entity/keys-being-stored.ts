import { BriefMap } from "../data/brief-map.ts";
import type { Envelope } from "../data/envelope.ts";

/** Keys of requests that are on their way to storage, which does not know them yet. */
export class KeysBeingStored {
  /** How many requests of each key. */
  readonly #counts = new BriefMap<number>();

  /** Whether a request of this one's key is on its way. */
  has(envelope: Envelope): boolean {
    return this.#counts.has(keyOf(envelope));
  }

  /** Knows the key of a request, if it has one, until it is stored, or is not. */
  until<Result>(envelope: Envelope, store: () => Promise<Result>): Promise<Result> {
    return envelope.deduplicationKey === null ? store() : this.#until(keyOf(envelope), store);
  }

  async #until<Result>(key: string, store: () => Promise<Result>): Promise<Result> {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    try {
      return await store();
    } finally {
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    }
  }
}

function keyOf({ address, tag, deduplicationKey }: Envelope): string {
  return JSON.stringify([address.entityType, address.entityId, tag, deduplicationKey]);
}
