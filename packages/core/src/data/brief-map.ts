/** The least that is added before the values move. */
const LEAST_ADDED = 32;

/**
 * A map by text for what comes and goes: requests under way, by their ids. What it lets go of is free soon.
 *
 * A Map that lives long and churns does not do that. Each table that it outgrows points to the next one, so once one of
 * them is old, all that follow, and what they held, outlive their use until the next full collection: a third of the time
 * of short calls went there. So its entries move to a new one, and the tables so far are dropped, after about as many calls
 * of `set` as it has entries.
 */
export class BriefMap<Value> {
  #values = new Map<string, Value>();
  /** Since the values moved last. */
  #added = 0;

  get size(): number {
    return this.#values.size;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  set(key: string, value: Value): void {
    this.#added += 1;
    if (this.#added > LEAST_ADDED + this.#values.size) {
      this.#values = new Map(this.#values);
      this.#added = 0;
    }
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    return this.#values.delete(key);
  }

  clear(): void {
    this.#values = new Map();
    this.#added = 0;
  }

  /** Those of now, for a loop that neither awaits nor sets or deletes any. */
  get current(): Iterable<Value> {
    return this.#values.values();
  }

  /** Those of when it is called, without what is deleted meanwhile. In the order in which they were set. */
  *keys(): Generator<string> {
    const keys = [...this.#values.keys()];
    for (const key of keys) if (this.#values.has(key)) yield key;
  }

  *values(): Generator<Value> {
    for (const key of this.keys()) yield this.#values.get(key) as Value;
  }

  *entries(): Generator<[string, Value]> {
    for (const key of this.keys()) yield [key, this.#values.get(key) as Value];
  }
}
