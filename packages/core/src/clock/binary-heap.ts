/** A priority queue: `pop` gives the item that `before` puts first. Items that neither puts first leave in any order. */
export class BinaryHeap<T> {
  readonly #before: (a: T, b: T) => boolean;
  readonly #items: T[] = [];

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt] as T;
      if (!this.#before(item, parent)) break;
      items[at] = parent;
      at = parentAt;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length > 0) this.#sink(last as T, 0);
    return first;
  }

  /** Throws away the items that `keep` refuses, in linear time. */
  retain(keep: (item: T) => boolean): void {
    const items = this.#items;
    let kept = 0;
    for (const item of items) {
      if (keep(item)) items[kept++] = item;
    }
    items.length = kept;
    for (let at = (kept >> 1) - 1; at >= 0; at -= 1) this.#sink(items[at] as T, at);
  }

  #sink(item: T, from: number): void {
    const items = this.#items;
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= items.length) break;
      const right = childAt + 1;
      if (right < items.length && this.#before(items[right] as T, items[childAt] as T)) childAt = right;
      const child = items[childAt] as T;
      if (!this.#before(child, item)) break;
      items[at] = child;
      at = childAt;
    }
    items[at] = item;
  }
}
