import { BriefMap } from "../data/brief-map.ts";
import type { Fence } from "../data/epoch.ts";

/**
 * What is known of executions as long as one claim of their shard lasts. A claim is known by its fence, which is the same object
 * for as long as the shard is served: under the next one nothing of it holds, and it goes with that object.
 */
export class ByClaim<Value> {
  readonly #claims = new WeakMap<Fence, BriefMap<Value>>();

  get(fence: Fence, key: string): Value | undefined {
    return this.#claims.get(fence)?.get(key);
  }

  set(fence: Fence, key: string, value: Value): void {
    let values = this.#claims.get(fence);
    if (values === undefined) this.#claims.set(fence, (values = new BriefMap()));
    values.set(key, value);
  }

  delete(fence: Fence, key: string): void {
    this.#claims.get(fence)?.delete(key);
  }

  /** In the order in which they were set first. */
  keys(fence: Fence): readonly string[] {
    return [...(this.#claims.get(fence)?.keys() ?? [])];
  }
}
