import { quantile } from "./statistics.ts";

/** Keeps some of the times, evenly: every one at first, then every second, and so on. Millions of them must not weigh on what is measured. */
export class Sample {
  static readonly #SIZE = 65_536;
  readonly #kept = new Float64Array(Sample.#SIZE);
  #count = 0;
  #every = 1;
  #skipped = 0;
  /** Of all, also of those that were not kept. */
  most = 0;

  add(value: number): void {
    this.most = Math.max(this.most, value);
    this.#skipped += 1;
    if (this.#skipped < this.#every) return;
    this.#skipped = 0;
    if (this.#count === Sample.#SIZE) {
      this.#count /= 2;
      for (let index = 0; index < this.#count; index += 1) this.#kept[index] = this.#kept[2 * index] ?? 0;
      this.#every *= 2;
    }
    this.#kept[this.#count] = value;
    this.#count += 1;
  }

  quantile(part: number): number {
    return quantile(this.#kept.subarray(0, this.#count), part);
  }
}
