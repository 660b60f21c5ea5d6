import { removeFrom } from "../data/remove-from.ts";

/** An Abort for those who only watch it. */
export type AbortWatch = Omit<Abort, "abort">;

/**
 * What an AbortController does, for what is rarely aborted and whose signal is rarely asked for: the signal is made when it
 * is, since making one takes longer than an empty handler.
 */
export class Abort {
  #controller: AbortController | null = null;
  #aborted: { readonly reason: unknown } | null = null;
  /**
   * Mostly none or one, which a set would take a new table for whenever it leaves. On a shard there is one for each execution
   * in memory.
   */
  #whenAborted: ((reason: unknown) => void)[] | null = null;

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
    while (this.#whenAborted !== null && this.#whenAborted.length > 0) this.#whenAborted.shift()?.(reason);
  }

  /** `callback`, which must not throw, is told the reason when it is aborted, at once if it was; unless it is forgotten. */
  whenAborted(callback: (reason: unknown) => void): void {
    if (this.#aborted !== null) callback(this.#aborted.reason);
    else if (this.#whenAborted === null) this.#whenAborted = [callback];
    else this.#whenAborted.push(callback);
  }

  forget(callback: (reason: unknown) => void): void {
    if (this.#whenAborted !== null) removeFrom(this.#whenAborted, callback);
  }
}
