// Parked: executions that wait for other code than what runs here: theirs diverged, or has a version that is not there.
//
// In memory alone, and as long as the shard is served: who takes it next finds out anew. Their journals stay as they are.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs } from "../clock/backoff.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";

/** How often such an execution looks whether fixed code was deployed: less and less. */
const LOOKS = { kind: "exponential", initialMs: 1_000, maxMs: 60_000, jitter: 0 } as const;

export interface ParkedExecution {
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
  /**
   * By claim, which is the same object as long as the shard is served: an execution may be over elsewhere since. Then by the ids of
   * executions.
   */
  readonly #byClaim = new WeakMap<Fence, Map<string, ParkedExecution & { readonly times: number }>>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The executions that were parked under this fence. */
  under(fence: Fence): readonly string[] {
    return [...(this.#byClaim.get(fence)?.keys() ?? [])];
  }

  /** Why it waits, if it was parked under this fence. */
  errorOf(executionId: string, fence: Fence): EncodedError | null {
    return this.#byClaim.get(fence)?.get(executionId)?.error ?? null;
  }

  /** What those are told who wait for its end, if it was parked under this fence. */
  failureOf(executionId: string, fence: Fence): EncodedError | null {
    const parked = this.#byClaim.get(fence)?.get(executionId);
    return parked?.isTold === true ? parked.error : null;
  }

  /** Returns the wall time at which it looks again. */
  park(executionId: string, fence: Fence, why: ParkedExecution): number {
    const parked =
      this.#byClaim.get(fence) ?? new Map<string, ParkedExecution & { readonly times: number }>();
    this.#byClaim.set(fence, parked);
    const times = (parked.get(executionId)?.times ?? 0) + 1;
    parked.set(executionId, { ...why, times });
    return this.#clock.now() + backoffMs(LOOKS, times, this.#random);
  }

  /** It runs. */
  leave(executionId: string, fence: Fence): void {
    this.#byClaim.get(fence)?.delete(executionId);
  }
}
