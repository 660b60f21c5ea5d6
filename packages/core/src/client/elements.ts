// Elements: what a stream's caller reads, and may leave at any moment.
//
// A generator's own `return` waits until the element that is being read is there. Whoever leaves a stream that says nothing for an
// hour, as a web server does whose client hung up, is not to wait so long, nor is its handler to go on for so long.

/** A stream's elements. `leave` makes an element that is waited for the end, and resolves when nothing is held any more. */
export class Elements implements AsyncIterableIterator<unknown>, AsyncDisposable {
  readonly #next: () => Promise<IteratorResult<unknown, undefined>>;
  readonly #leave: () => Promise<unknown>;
  #isLeft = false;

  constructor(next: () => Promise<IteratorResult<unknown, undefined>>, leave: () => Promise<unknown>) {
    this.#next = next;
    this.#leave = leave;
  }

  async next(): Promise<IteratorResult<unknown, undefined>> {
    return this.#isLeft ? { done: true, value: undefined } : this.#next();
  }

  async return(value?: unknown): Promise<IteratorReturnResult<unknown>> {
    this.#isLeft = true;
    await this.#leave();
    return { done: true, value: await value };
  }

  async throw(error?: unknown): Promise<never> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** Elements that are asked for when the first one is: one that is left before that was never asked for. */
export function laterElements(open: () => AsyncIterableIterator<unknown>): Elements {
  let opened: AsyncIterableIterator<unknown> | undefined;
  return new Elements(
    () => (opened ??= open()).next(),
    async () => opened?.return?.(),
  );
}
