// Children: the executions that an execution has started, which are cancelled with it.
//
//   D1  Once the execution is cancelled, every child is that was started and is not known to have ended. Its end waits
//       until they are told.

import { insist } from "./call-step.ts";
import type { ChildCalls } from "./child-step.ts";
import type { StepScope } from "./step.ts";

export class Children {
  readonly #scope: StepScope;
  readonly #running = new Map<string, ChildCalls>();
  readonly #telling = new Set<Promise<unknown>>();
  /** Steps of which it is not known yet whether they have started a child. */
  #asking = 0;
  #whenKnown: (() => void)[] = [];
  #reason: string | null = null;

  constructor(scope: StepScope) {
    this.#scope = scope;
  }

  /** A step may start a child. Returns what to call when it is known whether it did. */
  asking(): (child: ChildCalls | null) => void {
    this.#asking += 1;
    return (child) => {
      this.#asking -= 1;
      if (child !== null) this.started(child);
      if (this.#asking === 0) for (const resolve of this.#whenKnown.splice(0)) resolve();
    };
  }

  started(child: ChildCalls): void {
    if (this.#reason === null) this.#running.set(child.executionId, child);
    else this.#tell(child, this.#reason);
  }

  ended(child: ChildCalls): void {
    this.#running.delete(child.executionId);
  }

  cancel(reason: string): void {
    this.#reason = reason;
    for (const child of this.#running.values()) this.#tell(child, reason);
    this.#running.clear();
  }

  /** Resolves when all who are to end have been told, durably. */
  async told(): Promise<void> {
    if (this.#reason === null) return;
    if (this.#asking > 0) await new Promise<void>((resolve) => this.#whenKnown.push(resolve));
    while (this.#telling.size > 0) await Promise.all(this.#telling);
  }

  #tell(child: ChildCalls, reason: string): void {
    const telling = insist(this.#scope, () => child.cancel(reason)).finally(() =>
      this.#telling.delete(telling),
    );
    this.#telling.add(telling);
  }
}
