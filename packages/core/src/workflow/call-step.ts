import { backoffMs, OWN_RETRIES } from "../clock/backoff.ts";
import { sleep } from "../clock/sleep.ts";
import { Abort } from "../contract/abort.ts";
import { isAnswer } from "../contract/answers.ts";
import { InterruptedError } from "../errors/routing.ts";
import { mayBeSentAgain } from "./insist.ts";
import type { Outcome } from "./journal.ts";
import type { Step, StepScope } from "./step.ts";

export interface StepCall {
  /** Whether the same call with the same key, made elsewhere, joins this one. */
  readonly isJoinable: boolean;
  /**
   * The key is the same however often the step is repeated, so that a persisted rpc runs once. `isFirst`: nobody can have
   * made the call before.
   */
  readonly send: (idempotencyKey: string, signal: AbortSignal, isFirst: boolean) => Promise<unknown>;
  /** Aborting it ends the call, too: the code waits no longer. Any object that does what a signal does. */
  readonly signal?: AbortSignal | undefined;
}

/** A call of an entity. What surely did not run is called again. */
export async function callStep(step: Step, scope: StepScope, call: StepCall): Promise<void> {
  const abort = new Abort();
  const end = (reason: unknown): void => {
    // An execution that leaves memory while this waits never comes to the end of it, and the code's signal may outlive them all.
    call.signal?.removeEventListener("abort", leave);
    abort.abort(reason);
  };
  const leave = (): void => end(call.signal?.reason);
  call.signal?.addEventListener("abort", leave);
  scope.stopped.whenAborted(end);
  // A persisted call has its effect all the same: what it comes to is waited for.
  if (!call.isJoinable) step.open.whenCut(end);
  if (call.signal?.aborted === true) leave();
  try {
    const outcome = await outcomeOf(step, scope, call, abort.signal);
    if (outcome !== null) await step.settle(outcome, null);
  } finally {
    call.signal?.removeEventListener("abort", leave);
    step.open.forget(end);
    scope.stopped.forget(end);
  }
}

/** Null: the execution is over. */
async function outcomeOf(
  step: Step,
  scope: StepScope,
  { isJoinable, send }: StepCall,
  signal: AbortSignal,
): Promise<Outcome | null> {
  const { open } = step;
  const place = scope.callPlaceOf(step.place);
  for (let attempt = 1; ; attempt += 1) {
    await scope.ready();
    const isFirst = attempt === 1 && step.isFresh;
    // Cancelled: what may have been sent, by an earlier copy or a moment ago, is joined, so that its outcome is known.
    if (open.cutBy !== null && (isFirst || !isJoinable)) return scope.failed(open.cutBy);
    open.hasBegun = true;
    const call = (): Promise<unknown> => send(scope.keyOf(place), signal, isFirst);
    try {
      return scope.completed(await (isJoinable ? scope.joinably(call) : call()), step.name);
    } catch (error) {
      if (scope.isStopped()) return null;
      if (open.cutBy !== null && (!isJoinable || isCausedBy(error, open.cutBy)))
        return scope.failed(open.cutBy);
      if (!mayBeSentAgain(error, isJoinable)) return failed(error, scope, place);
    }
    const pauseMs = backoffMs(OWN_RETRIES, attempt, scope.random);
    if (open.cutBy === null) await scope.until(scope.clock.now() + pauseMs, open);
    else await sleep(scope.clock, pauseMs, scope.stopped.signal);
  }
}

/** Whether the code gave the call up because it was cancelled: its signal was `ctx.cancelled`. */
function isCausedBy(error: unknown, cancellation: Error): boolean {
  return error instanceof InterruptedError && error.cause === cancellation;
}

function failed(error: unknown, scope: StepScope, place: string): Outcome {
  return isAnswer(error) ? { ...scope.failed(error), answered: place } : scope.failed(error);
}
