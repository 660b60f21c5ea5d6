// SchemaWait: a call's wait for a schema that asks somebody, as one that looks something up: no longer than the call's limits allow.
// One that answers at once is not waited for, and sets no timer.

import type { Clock } from "../adapter/clock.ts";
import type { PendingSchema } from "../contract/schema.ts";
import { InterruptedError, TimeoutError } from "../errors/routing.ts";
import { checkLimits, type CallLimits } from "./call-limits.ts";
import type { CallOrigin } from "./call-wait.ts";

/** The call whose input and output are parsed. */
export interface ParsedCall extends CallLimits {
  /** Names it, for errors. */
  readonly what: string;
  /** Whether a repetition is the same request, so that it may have been sent before. Default: false. */
  readonly hasKey?: boolean;
  /** Whether it changes nothing, as a query. Default: false. */
  readonly isRead?: boolean;
  /** Since when its `timeout` counts (monotonic). Default: now. */
  readonly begunAt?: number | undefined;
}

export class SchemaWait implements PendingSchema {
  readonly #clock: Clock;
  readonly #call: ParsedCall;
  readonly #begunAt: number;
  #isSent = false;
  /** Whether what is parsed is an element of a stream. */
  #isElement = false;

  constructor(clock: Clock, call: ParsedCall) {
    this.#clock = clock;
    this.#call = call;
    this.#begunAt = call.begunAt ?? clock.monotonic();
  }

  /** The same, for what is sent once the input is parsed: its time is what that left of it. */
  since<Origin extends CallOrigin>(origin: Origin): Origin {
    return { ...origin, begunAt: this.#begunAt };
  }

  /** It was sent: from here on it may have run. */
  sent(): this {
    this.#isSent = true;
    return this;
  }

  /** An element of a stream came in time: where its reader asks for it only after that, its schema has as much time again. */
  came(): this {
    this.#isElement = true;
    return this.sent();
  }

  /** @throws {TimeoutError} @throws {InterruptedError} a limit was reached @throws {ConfigError} they are no limits */
  until<Result>(pending: PromiseLike<Result>): Promise<Result> {
    const parsed = Promise.resolve(pending);
    // It may reject when nobody waits for it any more, or where the limits are refused.
    parsed.catch(() => undefined);
    const timeoutMs = checkLimits(this.#call);
    const { signal } = this.#call;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        timer?.cancel();
        signal?.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        stop();
        reject(this.#interruption());
      };
      const timer =
        timeoutMs === null
          ? null
          : this.#clock.setTimer(this.#leftOf(timeoutMs), () => {
              stop();
              reject(this.#timeout(timeoutMs));
            });
      signal?.addEventListener("abort", abort, { once: true });
      void parsed.then(resolve, reject).then(stop);
      if (signal?.aborted === true) abort();
    });
  }

  #leftOf(timeoutMs: number): number {
    const leftMs = Math.max(0, timeoutMs - Math.floor(this.#clock.monotonic() - this.#begunAt));
    return leftMs === 0 && this.#isElement ? timeoutMs : leftMs;
  }

  get #mayHaveRun(): boolean {
    return this.#isSent || this.#call.hasKey === true;
  }

  #timeout(timeoutMs: number): TimeoutError {
    const { what, hasKey = false, isRead = false } = this.#call;
    return new TimeoutError({ what, timeoutMs, hasKey, isRead, mayHaveRun: this.#mayHaveRun });
  }

  #interruption(): InterruptedError {
    const { what, signal } = this.#call;
    const why = "its signal was aborted";
    return new InterruptedError({ what, why, mayHaveRun: this.#mayHaveRun }, { cause: signal?.reason });
  }
}

/** The wait of a call without limits: in as many turns as others take, so that calls of one schema go out in their order. */
export const AS_LONG_AS_IT_TAKES: PendingSchema = { until: async (pending) => await pending };

/** Undefined: nothing limits the call. @throws {ClusterClosedError} its clock is there with the cluster */
export function schemaWait(clock: () => Clock, call: ParsedCall): SchemaWait | undefined {
  const isLimited = call.timeout !== undefined || call.signal !== undefined;
  return isLimited ? new SchemaWait(clock(), call) : undefined;
}
