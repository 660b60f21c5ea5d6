// Retries: what lies between two tries for one request, of its handler or of a write: a warning, and a pause.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs, OWN_RETRIES } from "../clock/backoff.ts";
import { sleep } from "../clock/sleep.ts";
import type { AbortWatch } from "../contract/abort.ts";
import type { Logger } from "../contract/logger.ts";
import { entityKey } from "../data/entity-address.ts";
import type { HostedRequest } from "./hosted-request.ts";

export interface RetriesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class Retries {
  readonly #options: RetriesOptions;

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  /** Waits before the next try, but not after the shard moved, or once it is about to where `leaving` is given. */
  async pause(request: HostedRequest, failures: number, leaving: AbortWatch | null = null): Promise<void> {
    const { clock, random } = this.#options;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = clock.setTimer(backoffMs(OWN_RETRIES, failures, random), resolve);
    const leave = (): void => resolve();
    leaving?.whenAborted(leave);
    await request.unlessMoved(over, undefined);
    leaving?.forget(leave);
    timer.cancel();
  }

  /** The same for what goes on where the shard moved. Its pauses are short, so that it soon ends then. */
  async rest(failures: number): Promise<void> {
    const { clock, random } = this.#options;
    await sleep(clock, backoffMs({ ...OWN_RETRIES, maxMs: 1_000 }, failures, random));
  }

  /** Whether a try that failed after so many others was the first, or follows one of the longest of this class's pauses. */
  isSparse(failures: number): boolean {
    const { random } = this.#options;
    return failures === 0 || backoffMs(OWN_RETRIES, failures, random) === OWN_RETRIES.maxMs;
  }

  warn(request: HostedRequest, message: string, error: unknown): void {
    this.log("warn", request, message, error);
  }

  /** For debugging is what is tried again at once: in an outage all requests that run are at that. */
  log(level: "warn" | "debug", request: HostedRequest, message: string, error: unknown): void {
    this.#options.logger[level](message, {
      requestId: request.id,
      entity: entityKey(request.envelope.address),
      tag: request.envelope.tag,
      attempt: request.attempts,
      error: error instanceof Error ? `${error.name}: ${error.message}` : typeof error,
    });
  }
}
