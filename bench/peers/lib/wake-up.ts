// WakeUp: how long it takes from sending a job until its handler began, on a queue that has no other.

export class WakeUp {
  #began: (at: number) => void = () => undefined;

  /** For the handler, first of all. */
  began(): void {
    this.#began(performance.now());
  }

  /** Sends, and waits for the handler. Resolves to the milliseconds between. One at a time. */
  async of(send: () => Promise<unknown>): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#began = resolve;
    const sent = performance.now();
    const [began] = await Promise.all([promise, send()]);
    return began - sent;
  }
}
