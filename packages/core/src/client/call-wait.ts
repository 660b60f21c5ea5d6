// CallWait: a caller's wait for what becomes of its request, until that comes, its time is over, or its signal is aborted.

import type { Clock, Timer } from "../adapter/clock.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import { describeCall } from "../entity/answers.ts";
import type { Delivery, DeliveryListener } from "../entity/delivery.ts";
import { InterruptedError, TimeoutError } from "../errors/routing.ts";

export interface CallWaitParts {
  readonly delivery: Delivery;
  readonly clock: Clock;
}

/** Those of a call's options that end the wait for it. */
export interface CallLimits {
  /** How long to wait for the reply. Then TimeoutError, and the handler is interrupted. Default: for ever. */
  readonly timeout?: Duration | undefined;
  /** Aborting it ends the wait with InterruptedError and interrupts the handler. */
  readonly signal?: AbortSignal | undefined;
}

/** Once a limit is reached, the request is abandoned. A class: for each call one object is less than its closures. */
export class LimitedWait {
  protected readonly delivery: Delivery;
  protected readonly envelope: Envelope;
  readonly #fail: (error: Error) => void;
  readonly #timer: Timer | null;
  readonly #signal: AbortSignal | undefined;

  /** @throws {ConfigError} the time-out is no duration */
  constructor(
    { delivery, clock }: CallWaitParts,
    envelope: Envelope,
    { timeout, signal }: CallLimits,
    fail: (error: Error) => void,
  ) {
    this.delivery = delivery;
    this.envelope = envelope;
    this.#fail = fail;
    this.#signal = signal;
    this.#timer = timeout === undefined ? null : this.#limit(clock, milliseconds(timeout, "timeout"));
    if (signal?.aborted === true) {
      // The wait is over before the answer, which may come in this turn. After it the request is on its way, to be interrupted.
      this.handleEvent();
      queueMicrotask(() => delivery.abandon(envelope.requestId));
    } else signal?.addEventListener("abort", this, { once: true });
  }

  /** The wait is over: no limit ends it any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#signal?.removeEventListener("abort", this);
  }

  failed(error: Error): void {
    this.stop();
    this.#fail(error);
  }

  /** The signal was aborted. */
  handleEvent(): void {
    const why = "its signal was aborted";
    const what = describeCall(this.envelope);
    this.#abandon(new InterruptedError({ what, why }, { cause: this.#signal?.reason }));
  }

  #limit(clock: Clock, timeoutMs: number): Timer {
    return clock.setTimer(timeoutMs, () =>
      this.#abandon(new TimeoutError({ what: describeCall(this.envelope), timeoutMs })),
    );
  }

  #abandon(error: Error): void {
    this.delivery.abandon(this.envelope.requestId);
    this.failed(error);
  }
}

/** The wait for the reply. */
export class ReplyWait extends LimitedWait implements DeliveryListener {
  readonly #resolve: (reply: Reply) => void;

  constructor(
    parts: CallWaitParts,
    envelope: Envelope,
    limits: CallLimits,
    resolve: (reply: Reply) => void,
    reject: (error: Error) => void,
  ) {
    super(parts, envelope, limits, reject);
    this.#resolve = resolve;
  }

  accepted(): void {}

  chunk(): void {}

  reply(reply: Reply): void {
    this.stop();
    this.#resolve(reply);
  }
}

/** The wait for the acceptance. */
export class AcceptanceWait extends LimitedWait implements DeliveryListener {
  readonly #resolve: () => void;

  constructor(
    parts: CallWaitParts,
    envelope: Envelope,
    limits: CallLimits,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    super(parts, envelope, limits, reject);
    this.#resolve = resolve;
  }

  accepted(): void {
    this.delivery.done(this.envelope.requestId);
    this.reply();
  }

  chunk(): void {}

  /** Of the duplicate of a request that was answered: it was accepted long ago. */
  reply(): void {
    this.stop();
    this.#resolve();
  }
}
