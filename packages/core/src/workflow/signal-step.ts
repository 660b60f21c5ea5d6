import { encodePayload } from "../contract/payload.ts";
import { SignalTimeoutError } from "../errors/workflow.ts";
import type { Outcome } from "./journal.ts";
import type { ReceivedSignal, SignalBuffer } from "./signal-buffer.ts";
import type { Step, StepScope } from "./step.ts";
import { encodeSignal } from "./taken-signal.ts";
import { dueTimeOf } from "./timer-step.ts";

export interface SignalWait {
  readonly signals: SignalBuffer;
  readonly name: string;
  /** Null: it is waited for as long as it takes. */
  readonly timeoutMs: number | null;
  readonly parse: (payload: unknown) => Promise<unknown>;
}

/** Waits for the next signal of a name. One that is there already counts before its time-out does. */
export async function signalStep(step: Step, scope: StepScope, wait: SignalWait): Promise<void> {
  const { signals, name, timeoutMs } = wait;
  step.open.hasBegun = true;
  // Without an await before the wait begins: who asked first waits first. It leaves memory only when this is durable.
  const dueAt = timeoutMs === null ? null : dueTimeOf(step, scope, () => scope.clock.now() + timeoutMs);
  const outcome = await scope.message<ReceivedSignal>(dueAt, step.open, (take) => signals.wait(name, take));
  if (outcome.type === "cut") return;
  if (outcome.type === "due") {
    const error = new SignalTimeoutError({
      signal: name,
      timeoutMs: timeoutMs ?? 0,
      executionId: scope.executionId,
    });
    return void (await step.settle(scope.failed(error), null));
  }
  const taken = await outcomeOf(wait, scope, outcome.message);
  // A cancellation that is on its way reaches the code first, and then it would never see the signal.
  await scope.ready();
  if (step.open.cutBy !== null) return signals.giveBack(outcome.message);
  await step.settle(taken, null);
}

/** What a signal is to the code. One that does not fit was taken all the same: the next step gets the next signal. */
async function outcomeOf(
  { name, parse }: SignalWait,
  scope: StepScope,
  { requestId, payload }: ReceivedSignal,
): Promise<Outcome> {
  try {
    const value = encodePayload(await parse(payload), `The signal ${name}`);
    return { type: "completed", value: encodeSignal(requestId, value) };
  } catch (error) {
    return { ...scope.failed(error), signal: requestId };
  }
}
