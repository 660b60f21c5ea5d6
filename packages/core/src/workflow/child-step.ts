// Child step: starts another execution, and waits for its end.
//
// A child is an execution like any other: it is started by its id, which is the same in every replay, and joined by it. The
// parent waits in memory for a moment; then it has itself woken when the child ends, and may leave.
//
// No fence holds back a start, since the child has another shard. So where one may have been sent, that there is no such child
// says nothing: it may be on its way. A parent that is cancelled sees to it that it begins nothing, before its code is told so. A
// detached one is no part of what is undone: it may still begin.

import { within } from "../clock/within.ts";
import type { Watcher } from "../contract/workflow-contract.ts";
import type { OpenStep } from "./cancellation.ts";
import { insist, type Insisted } from "./insist.ts";
import type { Step, StepScope } from "./step.ts";

/** So long a child's end is waited for in memory alone. */
const RESIDENT_MS = 1_000;

/** What a parent does to one child. Each may be repeated. */
export interface ChildCalls {
  readonly address: Watcher;
  isStarted(): Promise<boolean>;
  start(): Promise<void>;
  /**
   * Sees to it that no start that comes later begins it: it is there then, ended without having begun. Resolves to whether it
   * was started already: then nothing changed.
   */
  forestall(reason: string): Promise<boolean>;
  /** Resolves to the child's result, or rejects with its error. */
  join(signal: AbortSignal): Promise<unknown>;
  /** Has the parent woken when the child ends, or now if it has ended. */
  watch(): Promise<void>;
  cancel(reason: string): Promise<void>;
}

export interface ChildOfStep {
  /** Resolves to how to call it. Rejects where the input is no input of it. */
  readonly calls: () => Promise<ChildCalls>;
  /** `execute` is both. A step that starts comes to the child's id, the others to its result. */
  readonly does: "start" | "join" | "execute";
  /** Whether it goes on when its parent is cancelled. */
  readonly isDetached: boolean;
  /** Why it is cancelled with its parent; null: it is not. */
  readonly cancelledFor: () => string | null;
  /** Whether it is started is known now: null, it is not. If it is, it may have to be cancelled with its parent. */
  readonly known: (calls: ChildCalls | null) => void;
  readonly ended: (calls: ChildCalls) => void;
}

export async function childStep(step: Step, scope: StepScope, child: ChildOfStep): Promise<void> {
  await scope.ready();
  let calls: ChildCalls;
  try {
    calls = await child.calls();
  } catch (error) {
    return void (await step.settle(scope.failed(error), null));
  }
  if (child.does !== "join") {
    let mayBeSent = !step.isFresh;
    const start = async (): Promise<boolean> => {
      const isRecorded = step.recorded !== undefined;
      if (step.open.cutBy !== null) {
        const reason = mayBeSent && !isRecorded ? child.cancelledFor() : null;
        // It is not started any more, and what the journal knows of was started: it is joined, or it is gone.
        const isStarted = await (reason === null ? calls.isStarted() : calls.forestall(reason));
        if (!isStarted) return false;
      }
      mayBeSent = true;
      if (!isRecorded) await calls.start();
      return true;
    };
    const started = await insist(scope, start);
    child.known(started.ok && started.value ? calls : null);
    step.open.hasBegun = started.ok && started.value;
    if (scope.isStopped()) return;
    if (!started.ok) return void (await step.settle(scope.failed(started.error), null));
    if (!started.value) return void (await step.settle(scope.failed(step.open.cutBy), null));
    if (child.does === "start")
      return void (await step.settle(scope.completed(calls.address.executionId, step.name), null));
  }
  step.open.hasBegun = true;
  const ended = await join(step.open, scope, calls);
  if (ended === null || scope.isStopped()) return;
  // The code was told already that it is cut.
  if (step.open.isWait && step.open.cutBy !== null) return;
  child.ended(calls);
  await step.settle(ended.ok ? scope.completed(ended.value, step.name) : scope.failed(ended.error), null);
}

/** Waits for the child's end: in memory, then where the execution may leave. Null: the step was cut, and only waited. */
async function join(open: OpenStep, scope: StepScope, calls: ChildCalls): Promise<Insisted<unknown> | null> {
  const ending = insist(scope, () => calls.join(scope.stopped.signal));
  if (await scope.joinably(() => within(scope.clock, ending, RESIDENT_MS))) return ending;
  const watched = await scope.joinably(() => insist(scope, () => calls.watch()));
  if (!watched.ok) return watched;
  const outcome = await scope.message<Insisted<unknown>>(null, open, (take) => {
    void ending.then(take);
    return () => undefined;
  });
  if (outcome.type === "came") return outcome.message;
  // Who is cancelled with its parent ends by itself, and that end is what is waited for.
  return open.isWait ? null : scope.joinably(() => ending);
}
