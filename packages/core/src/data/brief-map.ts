/**
 * A map by text for what comes and goes: requests under way, by their ids. What it lets go of is free at once.
 *
 * A Map that lives long and churns does not do that. Each table that it outgrows points to the next one, so once one of
 * them is old, all that follow, and what they held, outlive their use until the next full collection: a third of the time
 * of short calls went there.
 */
export class BriefMap<Value> {
  readonly #values = Object.create(null) as Record<string, Value>;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): Value | undefined {
    return this.#values[key];
  }

  has(key: string): boolean {
    return key in this.#values;
  }

  set(key: string, value: Value): void {
    if (!(key in this.#values)) this.#size += 1;
    this.#values[key] = value;
  }

  delete(key: string): boolean {
    if (!(key in this.#values)) return false;
    this.#size -= 1;
    // oxlint-disable-next-line typescript/no-dynamic-delete -- it is a dictionary
    delete this.#values[key];
    return true;
  }

  clear(): void {
    for (const key of this.keys()) this.delete(key);
  }

  /** Those of when it is called, without what is deleted meanwhile. In the order in which they were set, but for keys that are whole numbers, which come first. */
  *keys(): Generator<string> {
    for (const key of Object.keys(this.#values)) if (key in this.#values) yield key;
  }

  *values(): Generator<Value> {
    for (const key of this.keys()) yield this.#values[key] as Value;
  }

  *entries(): Generator<[string, Value]> {
    for (const key of this.keys()) yield [key, this.#values[key] as Value];
  }
}
