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
import { backoffMs, type Backoff } from "../clock/backoff.ts";
import { Outage } from "../clock/outage.ts";
import type { Logger } from "../contract/logger.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { PersistenceError } from "../errors/storage.ts";

/** The part of the term given up for clocks that do not run at the same speed. */
const MARGIN = 0.1;
const RETRY_MS = 500;
/** The pauses between tries to join again. They go on for ever; chance keeps runners from coming back all at once. */
const REJOIN: Backoff = { kind: "exponential", initialMs: 500, maxMs: 5_000, jitter: 0.5 };

export interface LeaseKeeperOptions {
  readonly storage: RunnerStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly ttlMs: number;
  readonly refreshIntervalMs: number;
  /**
   * What to publish under a runner id. Asked at each registration. On trial, no shard should be assigned to it yet: it is
   * not known whether answers come in time to hold any.
   */
  readonly record: (runnerId: string, isOnTrial: boolean) => RunnerRecord;
  /** Everything done under this lease must stop at once. */
  readonly lost: (reason: string) => void;
  /** Resolves when what was stopped, and must not go on beside its successor elsewhere, has ended. Never rejects. */
  readonly ended: () => Promise<void>;
  /** A new lease is held, after the first or after a loss. */
  readonly joined: () => void;
  /** Carries out a call of the lease store, and notes how it went. */
  readonly observed: <Result>(call: () => Promise<Result>) => Promise<Result>;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  /** Of refreshes and, once the lease is lost, of joining again. */
  readonly #outage: Outage;
  /** Of records that changed. */
  readonly #unpublished: Outage;
  #runnerId: string;
  /** Monotonic time from which the lease can have run out, or null while there is none. */
  #deadline: number | null = null;
  #timer: Timer | undefined;
  #expiry: Timer | undefined;
  #closed = false;
  /** The record changed since it was published last. */
  #isUnpublished = false;
  #publishing: Promise<void> | null = null;
  /** Tries to join again that failed since the lease was lost. */
  #failedJoins = 0;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#outage = new Outage({ clock, logger, ended: "The lease is held and refreshed again" });
    this.#unpublished = new Outage({ clock, logger, ended: "The changed record is published" });
    this.#runnerId = options.random.id();
  }

  /** The identity of the lease held now, or of the one being asked for. */
  get runnerId(): string {
    return this.#runnerId;
  }

  isHeld(): boolean {
    return this.#deadline !== null && this.#options.clock.monotonic() < this.#deadline;
  }

  /** How long the lease is still held for if nothing refreshes it, in milliseconds; 0 once it is not held. */
  get remainingMs(): number {
    return this.#deadline === null ? 0 : Math.max(0, this.#deadline - this.#options.clock.monotonic());
  }

  /** Takes the first lease. @throws {PersistenceError} the storage cannot be reached */
  async join(): Promise<void> {
    const { clock, storage, record, ttlMs, refreshIntervalMs, observed } = this.#options;
    const runnerId = this.#runnerId;
    const sentAt = clock.monotonic();
    // After a try that failed, others are not to count on this one.
    const isOnTrial = this.#failedJoins > 0;
    this.#isUnpublished = isOnTrial;
    await observed(() => storage.register(record(runnerId, isOnTrial), ttlMs));
    if (this.#closed || runnerId !== this.#runnerId) return;
    // What an earlier try took is over by now, and its timer is about to say so (L2).
    if (this.#deadline !== null && !this.isHeld()) return;
    if (clock.monotonic() >= this.#endOf(sentAt)) {
      throw new PersistenceError({
        operation: "register",
        outcome: "unknown",
        detail: "the answer came after the term of the lease",
      });
    }
    this.#failedJoins = 0;
    const isNew = !this.isHeld();
    this.#extend(sentAt);
    this.#schedule(refreshIntervalMs);
    if (this.#isUnpublished) void this.#publishNow();
    else this.#unpublished.succeeded();
    if (isNew) this.#options.joined();
  }

  /** Publishes the record again, changed: now, or with a later refresh if that fails. Resolves after the first try. Never rejects. */
  async publish(): Promise<void> {
    this.#isUnpublished = true;
    // Without a lease there is nothing to change: the next one is taken with the new record.
    if (this.#closed || !this.isHeld()) return;
    // To register once more would bring back a lease that its store has lost meanwhile (L2). To refresh it does not.
    await this.#refresh();
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
      const answer = await this.#options.observed(() => this.#options.storage.refresh(runnerId));
      // The lease may have been lost, given back or renewed by a later refresh while this one was on its way.
      if (this.#closed || runnerId !== this.#runnerId) return;
      if (answer === "lost") this.#lose("the lease store says that it ran out");
      else if (this.isHeld()) this.#extend(sentAt);
      else this.#lose("the answer to its refresh came after its term");
      if (this.#isUnpublished) this.#publishing = this.#publishNow();
      await this.#publishing;
    } catch (error) {
      if (this.#closed || runnerId !== this.#runnerId) return;
      this.#outage.failed("A lease refresh failed; it is tried again until the lease has run out", {
        error: String(error),
        runsOutInMs: Math.round(this.remainingMs),
      });
      this.#schedule(Math.min(RETRY_MS, this.#options.refreshIntervalMs));
    }
  }

  /** Under a lease that the store has just said to be held. Never rejects. */
  async #publishNow(): Promise<void> {
    const { clock, storage, record, ttlMs, observed } = this.#options;
    if (this.#closed || !this.isHeld()) return;
    const sentAt = clock.monotonic();
    const runnerId = this.#runnerId;
    this.#isUnpublished = false;
    try {
      await observed(() => storage.register(record(runnerId, false), ttlMs));
      this.#unpublished.succeeded();
      if (runnerId === this.#runnerId && this.isHeld()) this.#extend(sentAt);
    } catch (error) {
      this.#isUnpublished = true;
      this.#unpublished.failed("The changed record could not be published; the next refresh does it", {
        error: String(error),
      });
    }
  }

  /** From when on a lease that was asked for at this time can have run out (L1). */
  #endOf(sentAt: number): number {
    return sentAt + this.#options.ttlMs * (1 - MARGIN);
  }

  #extend(sentAt: number): void {
    const deadline = this.#endOf(sentAt);
    this.#deadline = Math.max(this.#deadline ?? deadline, deadline);
    this.#outage.succeeded();
    this.#expiry?.cancel();
    this.#expiry = this.#options.clock.setTimer(this.remainingMs, () => {
      if (!this.#closed && this.#deadline !== null && !this.isHeld())
        this.#lose("it was not refreshed within its term");
    });
  }

  #lose(reason: string): void {
    if (this.#deadline === null) return;
    const lostId = this.#runnerId;
    this.#deadline = null;
    this.#expiry?.cancel();
    this.#timer?.cancel();
    this.#options.logger.warn("The lease is lost; joining again under a new identity", {
      runnerId: lostId,
      reason,
    });
    this.#options.lost(reason);
    this.#runnerId = this.#options.random.id();
    void this.#end(lostId);
    void this.#rejoin();
  }

  /**
   * Where its term is not over yet, its shards are free as soon as that may be. Whatever this does, nothing is served under it any
   * more. Never rejects.
   */
  async #end(lostId: string): Promise<void> {
    await this.#options.ended();
    await this.#options.storage.unregister(lostId).catch(() => undefined);
  }

  async #rejoin(): Promise<void> {
    const runnerId = this.#runnerId;
    // A try that gets no answer must not be the last one. A second one under the same id is harmless.
    this.#timer = this.#options.clock.setTimer(this.#options.ttlMs, () => void this.#rejoin());
    try {
      await this.join();
    } catch (error) {
      if (this.#closed || runnerId !== this.#runnerId || this.isHeld()) return;
      this.#failedJoins += 1;
      const delayMs = backoffMs(REJOIN, Math.min(this.#failedJoins, 10), this.#options.random);
      this.#outage.failed("Joining again failed", { error: String(error), nextTryInMs: delayMs });
      this.#timer?.cancel();
      this.#timer = this.#options.clock.setTimer(delayMs, () => void this.#rejoin());
    }
  }
}
