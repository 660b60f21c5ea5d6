/** An Abort for those who only watch it. */
export type AbortWatch = Omit<Abort, "abort">;

/**
 * What an AbortController does, for what is rarely aborted and whose signal is rarely asked for: the signal is made when it
 * is, since making one takes longer than an empty handler.
 */
export class Abort {
  #controller: AbortController | null = null;
  #aborted: { readonly reason: unknown } | null = null;
  /** Mostly none or one. A set would take a new table whenever one leaves it. */
  #whenAborted: (() => void)[] | null = null;

  get isAborted(): boolean {
    return this.#aborted !== null;
  }

  /** What it was aborted with. */
  get reason(): unknown {
    return this.#aborted?.reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted !== null) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  /** The first time counts. */
  abort(reason: unknown): void {
    if (this.#aborted !== null) return;
    this.#aborted = { reason };
    this.#controller?.abort(reason);
    const callbacks = this.#whenAborted ?? [];
    this.#whenAborted = null;
    for (const callback of callbacks) callback();
  }

  /** `callback` is called when it is aborted, at once if it was. Returns what ends that. */
  whenAborted(callback: () => void): () => void {
    if (this.#aborted !== null) callback();
    else if (this.#whenAborted === null) this.#whenAborted = [callback];
    else this.#whenAborted.push(callback);
    return () => {
      const index = this.#whenAborted?.indexOf(callback) ?? -1;
      if (index !== -1) this.#whenAborted?.splice(index, 1);
    };
  }
}
