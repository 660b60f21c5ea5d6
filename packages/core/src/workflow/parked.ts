// Parked: executions that wait for other code than what runs here: theirs diverged, has a version that is not there, or a
// journal that another release wrote and this one cannot read.
//
// In memory alone, and as long as the shard is served: who takes it next finds out anew. Their journals stay as they are.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs } from "../clock/backoff.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";
import { ByClaim } from "./by-claim.ts";

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
  /** By the ids of executions. One may be over elsewhere since its claim. */
  readonly #parked = new ByClaim<ParkedExecution & { readonly times: number }>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The executions that were parked under this fence. */
  under(fence: Fence): readonly string[] {
    return this.#parked.keys(fence);
  }

  /** Why it waits, if it was parked under this fence. */
  errorOf(executionId: string, fence: Fence): EncodedError | null {
    return this.#parked.get(fence, executionId)?.error ?? null;
  }

  /** What those are told who wait for its end, if it was parked under this fence. */
  failureOf(executionId: string, fence: Fence): EncodedError | null {
    const parked = this.#parked.get(fence, executionId);
    return parked?.isTold === true ? parked.error : null;
  }

  /** Returns the wall time at which it looks again. */
  park(executionId: string, fence: Fence, why: ParkedExecution): number {
    const times = (this.#parked.get(fence, executionId)?.times ?? 0) + 1;
    this.#parked.set(fence, executionId, { ...why, times });
    return this.#clock.now() + backoffMs(LOOKS, times, this.#random);
  }

  /** It runs. */
  leave(executionId: string, fence: Fence): void {
    this.#parked.delete(fence, executionId);
  }
}
