import { backoffMs, OWN_RETRIES } from "../clock/backoff.ts";
import { sleep } from "../clock/sleep.ts";
import { isAnswer } from "../contract/answers.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import type { StepScope } from "./step.ts";

/** What a call came to. */
export type Insisted<Result> =
  | { readonly ok: true; readonly value: Result }
  | { readonly ok: false; readonly error: unknown };

/** Makes a call that may be repeated until it gets an answer. Never rejects. After the execution's end it may come to anything. */
export async function insist<Result>(
  scope: Pick<StepScope, "clock" | "random" | "stopped" | "isStopped">,
  call: () => Promise<Result>,
): Promise<Insisted<Result>> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return { ok: true, value: await call() };
    } catch (error) {
      if (scope.isStopped() || !mayBeSentAgain(error, true)) return { ok: false, error };
    }
    await sleep(scope.clock, backoffMs(OWN_RETRIES, attempt, scope.random), scope.stopped.signal);
  }
}

/** Whether a call that failed so is made again by the execution itself, instead of failing in its code. */
export function mayBeSentAgain(error: unknown, isJoinable: boolean): boolean {
  // What a handler came to is its answer, whatever that says of itself: of a volatile rpc, too, which is not to run again.
  if (!isHoldfastError(error) || isAnswer(error)) return false;
  // The member is on its way out: the execution will be, too.
  if (error instanceof ClusterClosedError) return true;
  // A volatile rpc that was cut short may have run: that is for the code to decide.
  return error.retryable && (isJoinable || error.name !== "InterruptedError");
}
