// CallWait: a caller's wait for what becomes of its request, until that comes, its time is over, or its signal is aborted.

import type { Clock, Timer } from "../adapter/clock.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { Delivery } from "../entity/delivery.ts";
import type { DeliveryListener, Origin } from "../entity/outgoing.ts";
import { InterruptedError, TimeoutError } from "../errors/routing.ts";
import { checkLimits, type CallLimits } from "./call-limits.ts";

export interface CallWaitParts {
  readonly delivery: Pick<Delivery, "send" | "abandon" | "done">;
  readonly clock: Clock;
}

/** What is said of a call besides its limits. */
export interface CallOrigin extends Origin {
  /** Since when its `timeout` counts (monotonic), where something was asked first. Default: since it is sent. */
  readonly begunAt?: number;
  /** Whether it changes nothing, as a query. Default false. */
  readonly isRead?: boolean;
}

/** Once a limit is reached, the request is abandoned. A class: for each call one object is less than its closures. */
export abstract class LimitedWait {
  protected readonly delivery: CallWaitParts["delivery"];
  protected readonly envelope: Envelope;
  readonly #origin: CallOrigin;
  readonly #clock: Clock;
  readonly #timeoutMs: number | null;
  readonly #signal: AbortSignal | undefined;
  #timer: Timer | null = null;
  #isOver = false;

  /** @throws {ConfigError} the time-out is no duration, or the signal none */
  constructor(
    { delivery, clock }: CallWaitParts,
    envelope: Envelope,
    { timeout, signal }: CallLimits,
    origin: CallOrigin = {},
  ) {
    this.#timeoutMs = checkLimits({ timeout, signal });
    this.delivery = delivery;
    this.envelope = envelope;
    this.#origin = origin;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The wait ended without what it was for. */
  protected abstract fail(error: Error): void;

  protected get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends the request, unless its signal was aborted before. What is answered in this very turn needs no timer. */
  send(listener: DeliveryListener): void {
    // What has a key may have been sent under it before.
    const mayHaveRun = this.envelope.deduplicationKey !== null;
    if (this.#signal?.aborted === true) return this.failed(this.#interruption(mayHaveRun));
    this.#signal?.addEventListener("abort", this, { once: true });
    this.delivery.send(this.envelope, listener, this.#origin);
    if (!this.#isOver && this.#timeoutMs !== null) this.#timer = this.#limit(this.#timeoutMs);
  }

  /** No limit ends it any more. */
  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#signal?.removeEventListener("abort", this);
  }

  failed(error: Error): void {
    this.stop();
    this.fail(error);
  }

  /** The signal was aborted. */
  handleEvent(): void {
    this.#abandon(this.#interruption(true));
  }

  #interruption(mayHaveRun: boolean): InterruptedError {
    const what = describeCall(this.envelope);
    return new InterruptedError(
      { what, why: "its signal was aborted", mayHaveRun },
      { cause: this.#signal?.reason },
    );
  }

  #limit(timeoutMs: number): Timer {
    const hasKey = this.envelope.deduplicationKey !== null;
    const { begunAt, isRead = false } = this.#origin;
    const passedMs = begunAt === undefined ? 0 : Math.floor(this.#clock.monotonic() - begunAt);
    return this.#clock.setTimer(Math.max(0, timeoutMs - passedMs), () =>
      this.#abandon(new TimeoutError({ what: describeCall(this.envelope), timeoutMs, hasKey, isRead })),
    );
  }

  #abandon(error: Error): void {
    this.delivery.abandon(this.envelope.requestId);
    this.failed(error);
  }
}

/** A wait for one thing. Where that comes in the turn in which the request is sent, no promise is made of it. */
abstract class SingleWait<Outcome> extends LimitedWait implements DeliveryListener {
  #outcome: Outcome | undefined;
  #error: Error | undefined;
  #resolve: ((outcome: Outcome) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  /** Sends the request. Returns what is waited for, or a promise of it. @throws what ended the wait */
  outcome(): Outcome | Promise<Outcome> {
    this.send(this);
    if (this.#error !== undefined) throw this.#error;
    if (this.isOver) return this.#outcome as Outcome;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  abstract accepted(): void;

  abstract reply(reply: Reply): void;

  chunk(): void {}

  protected finish(outcome: Outcome): void {
    this.stop();
    this.#outcome = outcome;
    this.#resolve?.(outcome);
  }

  protected override fail(error: Error): void {
    // What ended the wait counts, and not what became of its request after that.
    this.#error ??= error;
    this.#reject?.(error);
  }
}

/** The wait for the reply. */
export class ReplyWait extends SingleWait<Reply> {
  accepted(): void {}

  reply(reply: Reply): void {
    this.finish(reply);
  }
}

/** The wait for the acceptance. */
export class AcceptanceWait extends SingleWait<void> {
  accepted(): void {
    this.delivery.done(this.envelope.requestId);
    this.finish();
  }

  /** Of the duplicate of a request that was answered: it was accepted long ago. */
  reply(): void {
    this.finish();
  }
}
