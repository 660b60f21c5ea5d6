// LeaseKeeper: this member's lease, refreshed in time, and the answer to "do I still hold it?".
//
// Knows nothing of shards. Says when the lease is lost, and takes a new one under a new identity.
//
//   L1  `isHeld()` is false from the moment at which the lease can have run out, counted on this process's monotonic
//       clock from when the last successful refresh was *sent*. It asks no timer: a stalled event loop finds out first.
//   L2  A lost lease never comes back. Its successor has another runner id.
//   L3  `lost` is called once for each lease, before a new one is asked for.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { RunnerRecord } from "../data/runner-record.ts";

/** The part of the term given up for clocks that do not run at the same speed. */
const MARGIN = 0.1;
const RETRY_MS = 500;

export interface LeaseKeeperOptions {
  readonly storage: RunnerStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly ttlMs: number;
  readonly refreshIntervalMs: number;
  /** What to publish under a runner id. Asked at each registration. */
  readonly record: (runnerId: string) => RunnerRecord;
  /** Everything done under this lease must stop at once. */
  readonly lost: (reason: string) => void;
  /** A new lease is held, after the first or after a loss. */
  readonly joined: () => void;
  /** Outcome of each try to reach the storage, for detachment. */
  readonly observed: (healthy: boolean) => void;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #runnerId: string;
  /** Monotonic time from which the lease can have run out, or null while there is none. */
  #deadline: number | null = null;
  #timer: Timer | undefined;
  #expiry: Timer | undefined;
  #closed = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#runnerId = options.random.id();
  }

  /** The identity of the lease held now, or of the one being asked for. */
  get runnerId(): string {
    return this.#runnerId;
  }

  isHeld(): boolean {
    return this.#deadline !== null && this.#options.clock.monotonic() < this.#deadline;
  }

  /** Takes the first lease. @throws {PersistenceError} the storage cannot be reached */
  async join(): Promise<void> {
    const sentAt = this.#options.clock.monotonic();
    await this.#options.storage.register(this.#options.record(this.#runnerId), this.#options.ttlMs);
    if (this.#closed) return;
    this.#extend(sentAt);
    this.#schedule(this.#options.refreshIntervalMs);
    this.#options.joined();
  }

  /** Publishes the record again, changed. */
  async publish(): Promise<void> {
    const sentAt = this.#options.clock.monotonic();
    const runnerId = this.#runnerId;
    await this.#options.storage.register(this.#options.record(runnerId), this.#options.ttlMs);
    if (runnerId === this.#runnerId && this.isHeld()) this.#extend(sentAt);
  }

  /** Ends the lease: its shards are free when this resolves, or when the term runs out if storage cannot be reached. */
  async leave(): Promise<void> {
    this.abandon();
    await this.#options.storage.unregister(this.#runnerId).catch((error: unknown) => {
      this.#options.logger.warn("The lease could not be given back; it runs out by itself", {
        error: String(error),
      });
    });
  }

  /** Stops refreshing, as a crashed process does: the lease runs out by itself. */
  abandon(): void {
    this.#closed = true;
    this.#deadline = null;
    this.#timer?.cancel();
    this.#expiry?.cancel();
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, () => void this.#refresh());
  }

  async #refresh(): Promise<void> {
    const runnerId = this.#runnerId;
    // Set before the await: a refresh that hangs must not be the last one.
    this.#schedule(this.#options.refreshIntervalMs);
    const sentAt = this.#options.clock.monotonic();
    try {
      const answer = await this.#options.storage.refresh(runnerId);
      // The lease may have been lost, given back or renewed by a later refresh while this one was on its way.
      if (this.#closed || runnerId !== this.#runnerId) return;
      this.#options.observed(true);
      if (answer === "lost") this.#lose("the lease store says that it ran out");
      else if (this.isHeld()) this.#extend(sentAt);
      else this.#lose("the answer to its refresh came after its term");
    } catch (error) {
      if (this.#closed || runnerId !== this.#runnerId) return;
      this.#options.observed(false);
      this.#options.logger.warn("A lease refresh failed", { error: String(error) });
      this.#schedule(Math.min(RETRY_MS, this.#options.refreshIntervalMs));
    }
  }

  #extend(sentAt: number): void {
    const deadline = sentAt + this.#options.ttlMs * (1 - MARGIN);
    this.#deadline = Math.max(this.#deadline ?? deadline, deadline);
    this.#expiry?.cancel();
    this.#expiry = this.#options.clock.setTimer(this.#deadline - this.#options.clock.monotonic(), () => {
      if (!this.#closed && this.#deadline !== null && !this.isHeld())
        this.#lose("it was not refreshed within its term");
    });
  }

  #lose(reason: string): void {
    if (this.#deadline === null) return;
    this.#deadline = null;
    this.#expiry?.cancel();
    this.#timer?.cancel();
    this.#options.logger.warn("The lease is lost; joining again under a new identity", {
      runnerId: this.#runnerId,
      reason,
    });
    this.#options.lost(reason);
    this.#runnerId = this.#options.random.id();
    void this.#rejoin();
  }

  async #rejoin(): Promise<void> {
    const runnerId = this.#runnerId;
    try {
      await this.join();
    } catch (error) {
      if (this.#closed || runnerId !== this.#runnerId) return;
      this.#options.observed(false);
      this.#options.logger.warn("Joining again failed", { error: String(error) });
      this.#timer = this.#options.clock.setTimer(RETRY_MS, () => void this.#rejoin());
    }
  }
}
