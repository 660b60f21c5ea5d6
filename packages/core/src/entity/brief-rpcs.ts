// BriefRpcs: which rpcs have handlers that wait for nothing outside of this process, as far as was seen last.
//
// The handler of such an rpc may begin before its request is stored (admission.ts, A4): as a rule it is over before the write is
// on its way, and had no time to do half of anything.

import type { AnyRpc } from "../contract/rpc.ts";
import type { EntityBehavior } from "./behavior.ts";

/** So many microtasks in a row a handler may take, which may await promises of its own. What is outside takes a turn of the event loop. */
const MOST_MICROTASKS = 16;

export class BriefRpcs {
  /** An rpc of a group has other handlers in each type. */
  readonly #brief = new WeakMap<EntityBehavior, Set<AnyRpc>>();
  /** Counts the turns in which handlers began, as they end. One count for all of them: nothing is scheduled for each. */
  #turn = 0;
  #microtasksLeft = 0;
  #isCounting = false;

  has(behavior: EntityBehavior, rpc: AnyRpc): boolean {
    return this.#brief.get(behavior)?.has(rpc) === true;
  }

  /** A handler begins now. Returns its turn. */
  begins(): number {
    this.#microtasksLeft = MOST_MICROTASKS;
    if (!this.#isCounting) void this.#count();
    return this.#turn;
  }

  /** A handler that began in this turn is over. One that opened a transaction is not brief: it may not have awaited that. */
  ended(behavior: EntityBehavior, rpc: AnyRpc, turn: number, openedTransaction: boolean): void {
    const brief = this.#brief.get(behavior) ?? new Set();
    this.#brief.set(behavior, brief);
    if (turn === this.#turn && !openedTransaction) brief.add(rpc);
    else brief.delete(rpc);
  }

  async #count(): Promise<void> {
    this.#isCounting = true;
    for (; this.#microtasksLeft > 0; this.#microtasksLeft -= 1) await Promise.resolve();
    this.#isCounting = false;
    this.#turn += 1;
  }
}
