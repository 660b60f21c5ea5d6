import { removeFrom } from "../data/remove-from.ts";

/** An Abort for those who only watch it. */
export type AbortWatch = Omit<Abort, "abort" | "abortFor">;

/**
 * What an AbortController does, for what is rarely aborted and whose signal is rarely asked for: the signal is made when it
 * is, since making one takes longer than an empty handler.
 */
export class Abort {
  #controller: AbortController | null = null;
  #aborted: { reason: unknown } | null = null;
  /** Makes the reason, while nobody has asked for it. */
  #makeReason: (() => unknown) | null = null;
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
    if (this.#aborted !== null && this.#makeReason !== null) {
      this.#aborted.reason = this.#makeReason();
      this.#makeReason = null;
    }
    return this.#aborted?.reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted !== null) this.#controller.abort(this.reason);
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

  /** The same with a reason that is made when somebody asks for it, or waits for it already: an error is dear, for its stack. */
  abortFor(makeReason: () => unknown): void {
    if (this.#aborted !== null) return;
    if (this.#controller !== null || (this.#whenAborted !== null && this.#whenAborted.length > 0))
      return this.abort(makeReason());
    this.#aborted = { reason: undefined };
    this.#makeReason = makeReason;
  }

  /** `callback`, which must not throw, is told the reason when it is aborted, at once if it was; unless it is forgotten. */
  whenAborted(callback: (reason: unknown) => void): void {
    if (this.#aborted !== null) callback(this.reason);
    else if (this.#whenAborted === null) this.#whenAborted = [callback];
    else this.#whenAborted.push(callback);
  }

  forget(callback: (reason: unknown) => void): void {
    if (this.#whenAborted !== null) removeFrom(this.#whenAborted, callback);
  }
}
