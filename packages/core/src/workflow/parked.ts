// Parked: executions that wait for other code than what runs here: theirs diverged, or has a version that is not there.
//
// In memory alone: who takes the shard next finds out anew. Their journals stay as they are.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs } from "../clock/backoff.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";

/** How often such an execution looks whether fixed code was deployed: less and less. */
const LOOKS = { kind: "exponential", initialMs: 1_000, maxMs: 60_000, jitter: 0 } as const;

export interface ParkedExecution {
  readonly executionId: string;
  /** Where it was parked: it may be elsewhere since. */
  readonly fence: Fence;
  readonly error: EncodedError;
  /**
   * Whether those who wait for its end get the error: its code asked for another step. Code of its version is on its way, and
   * code that is slow may come to its steps: then they wait.
   */
  readonly isTold: boolean;
}

export class Parked {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #executions = new Map<string, ParkedExecution & { readonly times: number }>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get all(): readonly ParkedExecution[] {
    return [...this.#executions.values()];
  }

  /** Why it waits, if it was parked under this fence. */
  errorOf(executionId: string, fence: Fence): EncodedError | null {
    const parked = this.#executions.get(executionId);
    return parked?.fence.epoch === fence.epoch ? parked.error : null;
  }

  /** What those are told who wait for its end, if it was parked under this fence. */
  failureOf(executionId: string, fence: Fence): EncodedError | null {
    return this.#executions.get(executionId)?.isTold === true ? this.errorOf(executionId, fence) : null;
  }

  /** Returns the wall time at which it looks again. */
  park(execution: ParkedExecution): number {
    const { executionId } = execution;
    const times = (this.#executions.get(executionId)?.times ?? 0) + 1;
    this.#executions.set(executionId, { ...execution, times });
    return this.#clock.now() + backoffMs(LOOKS, times, this.#random);
  }

  /** It runs, or is gone from here. */
  leave(executionId: string): void {
    this.#executions.delete(executionId);
  }
}
