// BackendWatch: sees to it that this member knows whether storage and the lease store answer, and detaches it if they do not.
//
// Listens to the calls that are made anyway, and asks by itself only where none were made for a while. What detaching
// means, the member says; when it is due, sharding/detachment.ts.

import type { Clock, Timer } from "../adapter/clock.ts";
import { BACKENDS, Detachment, type Backend } from "../sharding/detachment.ts";

/** How often it looks where it may detach. */
const TICK_MS = 500;
/** A tick that comes so much late says that this process stood still. */
const LATE_MS = 1_000;

export interface BackendWatchOptions {
  readonly clock: Clock;
  /**
   * A backend that nobody asked for this long is asked; in trouble or detached, at each tick. Also how often it looks where
   * it may not detach. In milliseconds.
   */
  readonly quietMs: number;
  /** Whether to detach at all. */
  readonly detaches: boolean;
  readonly detach: (reason: string) => void;
  readonly attach: () => void;
}

/** Asks a backend something that it cannot answer without being reached. */
export type Questions = Readonly<Record<Backend, () => Promise<unknown>>>;

export class BackendWatch {
  readonly #options: BackendWatchOptions;
  readonly #detachment = new Detachment();
  readonly #asking = new Set<Backend>();
  #questions: Questions | null = null;
  #timer: Timer | undefined;
  #tickDueAt = 0;

  constructor(options: BackendWatchOptions) {
    this.#options = options;
  }

  get isDetached(): boolean {
    return this.#detachment.isDetached;
  }

  /** Why it is detached, or null. */
  get reason(): string | null {
    return this.#detachment.reason;
  }

  /** Carries out a call of a backend, and notes how it went. */
  async observed<Result>(backend: Backend, call: () => Promise<Result>): Promise<Result> {
    const { clock } = this.#options;
    const end = this.#detachment.reachability[backend].begin(clock.monotonic());
    try {
      const result = await call();
      end(true, clock.monotonic());
      return result;
    } catch (error) {
      end(false, clock.monotonic());
      throw error;
    }
  }

  /** What health says of a backend. */
  check(backend: Backend): { readonly ok: boolean; readonly detail: string } {
    const at = this.#options.clock.monotonic();
    const reachability = this.#detachment.reachability[backend];
    const ok = !reachability.isTroubled(at);
    if (!ok) return { ok, detail: `no answer for ${Math.round(reachability.troubleMs(at))} ms` };
    return {
      ok,
      detail: reachability.silentMs(at) === Number.POSITIVE_INFINITY ? "not asked yet" : "answers",
    };
  }

  start(questions: Questions): void {
    this.#questions = questions;
    this.#schedule();
  }

  stop(): void {
    this.#questions = null;
    this.#timer?.cancel();
  }

  #schedule(): void {
    const delayMs = this.#options.detaches ? TICK_MS : this.#options.quietMs;
    this.#tickDueAt = this.#options.clock.monotonic() + delayMs;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#tick();
      if (this.#questions !== null) this.#schedule();
    });
  }

  #tick(): void {
    const { clock, quietMs, detaches, detach, attach } = this.#options;
    const now = clock.monotonic();
    const stoodStill = now - this.#tickDueAt > LATE_MS;
    for (const backend of BACKENDS) {
      const reachability = this.#detachment.reachability[backend];
      if (stoodStill) reachability.stoodStill(now);
      // One call that failed must not count for longer than it takes to ask again.
      const isUrgent = this.isDetached || reachability.isTroubled(now);
      if (isUrgent || reachability.silentMs(now) >= quietMs) void this.#ask(backend);
    }
    if (!detaches) return;
    const decision = this.#detachment.decide(now);
    if (decision === "detach") detach(this.#detachment.reason ?? "");
    else if (decision === "attach") attach();
  }

  /** One question at a time. Never rejects. */
  async #ask(backend: Backend): Promise<void> {
    const ask = this.#questions?.[backend];
    if (ask === undefined || this.#asking.has(backend)) return;
    this.#asking.add(backend);
    await this.observed(backend, ask).catch(() => undefined);
    this.#asking.delete(backend);
  }
}
