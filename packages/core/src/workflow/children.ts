// Children: the executions that an execution has started, which are cancelled with it.
//
//   D1  Once the execution is cancelled, every child is that was started and is not known to have ended. Its end waits
//       until they are told.
//   D2  So are those that an earlier run of it has started.
//   D3  So are none that its code asks for once it was told, or has failed: they clean up.
//   D4  Those that earlier runs have started are carried along until they have ended: what a loop leaves behind must not pile up.

import type { Watcher } from "../contract/workflow-contract.ts";
import { removeFrom } from "../data/remove-from.ts";
import type { ChildCalls } from "./child-step.ts";
import { insist } from "./insist.ts";
import type { StepScope } from "./step.ts";

/** A child as far as it can be cancelled. */
export interface CancellableChild extends Pick<ChildCalls, "address" | "cancel"> {
  /** Of one that an earlier run has started: whether it has ended, or is gone. Rejects where storage does. */
  readonly hasEnded?: () => Promise<boolean>;
}

/** So many of earlier runs are looked up at the end of a run, and as many more as that has started. */
const LOOKED_UP = 100;

export class Children {
  readonly #scope: StepScope;
  readonly #isTold: () => boolean;
  /** Made with the first child. */
  #running: Map<string, CancellableChild> | null = null;
  readonly #telling: Promise<unknown>[] = [];
  /** Steps of which it is not known yet whether they have started a child. */
  #asking = 0;
  #whenKnown: (() => void)[] = [];
  #reason: string | null = null;
  #hasFailed = false;

  /** @param isTold whether the code had the time to know of a cancellation */
  constructor(scope: StepScope, isTold: () => boolean) {
    this.#scope = scope;
    this.#isTold = isTold;
  }

  /** A step may start a child. Returns what to call when it is known whether it did. */
  asking(): (child: CancellableChild | null) => void {
    if (this.cleanUp) return () => undefined;
    this.#asking += 1;
    let isKnown = false;
    return (child) => {
      if (isKnown) return;
      isKnown = true;
      this.#asking -= 1;
      if (child !== null) this.started(child);
      if (this.#asking === 0) for (const resolve of this.#whenKnown.splice(0)) resolve();
    };
  }

  started(child: CancellableChild): void {
    if (this.#reason !== null) return this.#tell(child, this.#reason);
    this.#running ??= new Map();
    this.#running.set(keyOf(child), child);
  }

  ended(child: CancellableChild): void {
    this.#running?.delete(keyOf(child));
  }

  /** Those that are not known to have ended, in an order that is the same after a crash, whichever was started first. */
  get running(): readonly Watcher[] {
    const inOrder = [...(this.#running ?? [])].toSorted(([one], [other]) => (one < other ? -1 : 1));
    return inOrder.map(([, { address }]) => address);
  }

  /** Leaves out those of earlier runs that have ended (D4). Never rejects: who cannot be looked up now is carried along. */
  async leaveOutEnded(): Promise<void> {
    const running = [...(this.#running?.values() ?? [])];
    const inherited = running.filter(({ hasEnded }) => hasEnded !== undefined);
    const count = LOOKED_UP + running.length - inherited.length;
    const check = async (child: CancellableChild): Promise<void> => {
      const hasEnded = await child.hasEnded?.().catch(() => false);
      // It may have been started anew meanwhile.
      if (hasEnded === true && this.#running?.get(keyOf(child)) === child) this.ended(child);
    };
    await Promise.all(this.#partOf(inherited, count).map(check));
  }

  /** At most `count` of them: others each time, so that each has its turn. */
  #partOf(children: readonly CancellableChild[], count: number): readonly CancellableChild[] {
    if (children.length <= count) return children;
    const from = Math.floor(this.#scope.random.next() * children.length);
    return [...children.slice(from), ...children.slice(0, from)].slice(0, count);
  }

  /** Whether those that are asked for from now on clean up (D3). */
  get cleanUp(): boolean {
    return this.#hasFailed || this.#isTold();
  }

  /** Why the execution is cancelled, or null. */
  get cancelledFor(): string | null {
    return this.#reason;
  }

  codeFailed(): void {
    this.#hasFailed = true;
  }

  cancel(reason: string): void {
    this.#reason = reason;
    for (const child of this.#running?.values() ?? []) this.#tell(child, reason);
    this.#running = null;
  }

  /** Resolves when it is known of each step whether it has started a child. */
  async known(): Promise<void> {
    if (this.#asking > 0) await new Promise<void>((resolve) => this.#whenKnown.push(resolve));
  }

  /** Resolves when all who are to end have been told, durably. */
  async told(): Promise<void> {
    if (this.#reason === null) return;
    await this.known();
    while (this.#telling.length > 0) await Promise.all(this.#telling);
  }

  #tell(child: CancellableChild, reason: string): void {
    const telling = insist(this.#scope, () => child.cancel(reason)).finally(() =>
      removeFrom(this.#telling, telling),
    );
    this.#telling.push(telling);
  }
}

function keyOf({ address }: CancellableChild): string {
  return `${address.entityType}/${address.executionId}`;
}
