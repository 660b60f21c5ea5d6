// BriefRpcs: which rpcs have handlers that wait for nothing outside of this process, as far as was seen last.
//
// The handler of such an rpc may begin before its request is stored (admission.ts, A4): it is over before the write is on its
// way, and had no time to do half of anything.

import type { AnyRpc } from "../contract/rpc.ts";

/** So many microtasks in a row a handler may take, which may await promises of its own. What is outside takes a turn of the event loop. */
const MOST_MICROTASKS = 16;

export class BriefRpcs {
  readonly #brief = new WeakSet<AnyRpc>();
  /** Counts the turns in which handlers began, as they end. One count for all of them: nothing is scheduled for each. */
  #turn = 0;
  #microtasksLeft = 0;
  #isCounting = false;

  has(rpc: AnyRpc): boolean {
    return this.#brief.has(rpc);
  }

  /** A handler begins now. Returns its turn. */
  begins(): number {
    this.#microtasksLeft = MOST_MICROTASKS;
    if (!this.#isCounting) void this.#count();
    return this.#turn;
  }

  /** A handler that began in this turn is over. Whatever opened a transaction waits for it, if not here. */
  ended(rpc: AnyRpc, turn: number, openedTransaction: boolean): void {
    if (turn === this.#turn && !openedTransaction) this.#brief.add(rpc);
    else this.#brief.delete(rpc);
  }

  async #count(): Promise<void> {
    this.#isCounting = true;
    for (; this.#microtasksLeft > 0; this.#microtasksLeft -= 1) await Promise.resolve();
    this.#isCounting = false;
    this.#turn += 1;
  }
}
