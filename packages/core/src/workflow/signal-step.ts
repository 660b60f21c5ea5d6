import { encodePayload } from "../contract/payload.ts";
import { SignalTimeoutError } from "../errors/workflow.ts";
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
  const { requestId, payload } = outcome.message;
  const parsed = await parse(wait, payload);
  // A cancellation that is on its way reaches the code first, and then it would never see the signal.
  await scope.ready();
  if (step.open.cutBy !== null) return signals.giveBack(outcome.message);
  if (parsed.ok) {
    await step.settle({ type: "completed", value: encodeSignal(requestId, parsed.value) }, null);
    return;
  }
  // It was taken all the same: the next step gets the next signal.
  await step.settle({ ...scope.failed(parsed.error), signal: requestId }, null);
}

async function parse(
  { name, parse: parsed }: SignalWait,
  payload: unknown,
): Promise<{ readonly ok: true; readonly value: string } | { readonly ok: false; readonly error: unknown }> {
  try {
    return { ok: true, value: encodePayload(await parsed(payload), `The signal ${name}`) };
  } catch (error) {
    return { ok: false, error };
  }
}
