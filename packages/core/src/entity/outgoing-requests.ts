import { BriefMap } from "../data/brief-map.ts";
import type { Outgoing } from "./outgoing.ts";

/** What a sender has sent, by request id, until its end is known or nobody waits for it any more. */
export class OutgoingRequests {
  readonly #requests = new BriefMap<Outgoing>();
  #whenIdle: (() => void)[] = [];

  get size(): number {
    return this.#requests.size;
  }

  has(requestId: string): boolean {
    return this.#requests.has(requestId);
  }

  get(requestId: string): Outgoing | undefined {
    return this.#requests.get(requestId);
  }

  /** In the order in which they were added, without what ends meanwhile. */
  values(): Iterable<Outgoing> {
    return this.#requests.values();
  }

  add(outgoing: Outgoing): void {
    this.#requests.set(outgoing.envelope.requestId, outgoing);
  }

  /** Something was heard of a request: its runner is alive. */
  heard(requestId: string): Outgoing | undefined {
    const outgoing = this.#requests.get(requestId);
    if (outgoing !== undefined) outgoing.unanswered = 0;
    return outgoing;
  }

  /** Forgets a request, and returns it where it was known. */
  take(requestId: string): Outgoing | undefined {
    const outgoing = this.#requests.get(requestId);
    if (outgoing !== undefined) this.drop(outgoing);
    return outgoing;
  }

  drop(outgoing: Outgoing): void {
    outgoing.retry?.cancel();
    this.#requests.delete(outgoing.envelope.requestId);
    this.checkIdle();
  }

  clear(): void {
    this.#requests.clear();
    this.checkIdle();
  }

  /** Resolves when none waits for an answer that may come soon: what was left to storage may take a deploy. */
  async idle(): Promise<void> {
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** To be called when one of them may have been left to storage. */
  checkIdle(): void {
    if (this.#whenIdle.length > 0 && this.#isIdle) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  get #isIdle(): boolean {
    for (const { leftBy, target, isStoring } of this.#requests.current)
      if (leftBy === null || target !== null || isStoring) return false;
    return true;
  }
}
