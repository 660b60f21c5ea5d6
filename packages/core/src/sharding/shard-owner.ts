// ShardOwner: brings the shards that this runner holds in line with those that it should hold.
//
// Takes leases, claims epochs, hands shards to their guest (the entities), has them drained, and frees them. Decides
// nothing about requests and computes no assignment.
//
//   S1  A shard is served only under a lease held now and an epoch claimed after that lease was taken.
//   S2  A shard given up is drained first and freed after; a shard lost is dropped at once, all lost shards together.
//   S3  What an await brings back counts only if lease, identity and target are still the same.
//   S4  A shard that may be leased to this runner, and is neither held nor wanted, is freed, however often that takes: its
//       lease would not run out by itself while this runner is a member.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";

const RETRY_MS = 500;

/** What lives on shards. */
export interface ShardGuest {
  /** The shard will be claimed soon: what arrives for it may wait instead of being sent away. */
  expect(shardIds: readonly ShardId[]): void;
  /** The shard is no longer expected, without having been claimed. */
  unexpect(shardIds: readonly ShardId[]): void;
  /** The shard is claimed: load what is pending and serve. */
  take(fence: Fence): void;
  /** Stop admitting, let handlers end, then abort them. Resolves when nothing runs on the shard any more. */
  drain(shardId: ShardId): Promise<void>;
  /** Abort and forget everything on these shards, now. */
  drop(shardIds: readonly ShardId[], reason: string): void;
}

export interface ShardOwnerOptions {
  readonly lease: LeaseKeeper;
  readonly runners: RunnerStorage;
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly guest: ShardGuest;
  readonly debounceMs: number;
  /** The shards that this runner should hold now. */
  readonly target: () => readonly ShardId[];
  readonly acquired: (shardId: ShardId) => void;
  readonly lost: (shardId: ShardId, reason: string) => void;
  /** These shards are free: their next owners want to know. */
  readonly released: (shardIds: readonly ShardId[]) => void;
}

type Holding = "serving" | "draining";

export class ShardOwner {
  readonly #options: ShardOwnerOptions;
  readonly #held = new Map<ShardId, Holding>();
  /** What may be leased to `#lessee` (S4). */
  readonly #leased = new Set<ShardId>();
  #lessee: string | null = null;
  #expected: ReadonlySet<ShardId> = new Set();
  #debounce: Timer | undefined;
  #retrying: Timer | undefined;
  #taking = false;
  #takeAgain = false;
  #stopped = false;
  #settled: (() => void)[] = [];

  constructor(options: ShardOwnerOptions) {
    this.#options = options;
  }

  /** The shards served now. */
  get owned(): readonly ShardId[] {
    return [...this.#held].filter(([, holding]) => holding === "serving").map(([shardId]) => shardId);
  }

  /** The members changed: compares and acts after the debounce, counted from the first change. */
  reconcileSoon(): void {
    if (this.#stopped) return;
    // What comes for a shard before it is claimed may wait for that.
    if (this.#options.lease.isHeld()) this.#expect(this.#missing());
    if (this.#debounce !== undefined) return;
    this.#debounce = this.#options.clock.setTimer(this.#options.debounceMs, () => {
      this.#debounce = undefined;
      this.reconcileNow();
    });
  }

  /** Compares and acts at once: the next owner of a freed shard need not wait for others to settle. */
  reconcileNow(): void {
    if (this.#stopped || !this.#options.lease.isHeld()) return;
    const target = new Set(this.#options.target());
    this.#giveUp(this.owned.filter((shardId) => !target.has(shardId)));
    void this.#take();
  }

  /** Resolves when every shard of the target is served. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  /** The lease is over, or storage is out of reach: nothing may be served any more. */
  dropAll(reason: string): void {
    this.#drop([...this.#held.keys()], reason);
    this.#expect([]);
  }

  /** A write was refused: another runner claimed the shard. */
  fenced(shardId: ShardId): void {
    if (!this.#held.has(shardId)) return;
    this.#drop([shardId], "a write was refused: the shard was claimed again");
    this.#retry();
  }

  /** Gives every shard up in order. Resolves when all are drained and freed. */
  async stop(): Promise<void> {
    this.halt();
    this.#expect([]);
    await Promise.all(this.owned.map(async (shardId) => this.#release(shardId)));
  }

  /** Stops at once and frees nothing, as a crash does. */
  halt(): void {
    this.#stopped = true;
    this.#debounce?.cancel();
    this.#retrying?.cancel();
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  #giveUp(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) void this.#release(shardId);
  }

  async #release(shardId: ShardId): Promise<void> {
    const runnerId = this.#options.lease.runnerId;
    this.#held.set(shardId, "draining");
    await this.#options.guest.drain(shardId);
    // Lost or fenced while it drained: then it was dropped, and there is nothing to free.
    if (this.#held.get(shardId) !== "draining" || runnerId !== this.#options.lease.runnerId) return;
    this.#options.lost(shardId, "moved to another runner");
    // Held until it is free: it must not be leased anew while its release is on the way.
    await this.#free(runnerId, [shardId]);
    if (this.#held.get(shardId) !== "draining" || runnerId !== this.#options.lease.runnerId) return;
    this.#held.delete(shardId);
    // The target may have come back to this runner while the shard drained.
    if (!this.#stopped && this.#options.target().includes(shardId)) void this.#take();
  }

  async #take(): Promise<void> {
    this.#takeAgain = true;
    if (this.#taking) return;
    this.#taking = true;
    while (this.#takeAgain && !this.#stopped) {
      this.#takeAgain = false;
      await this.#takeMissing();
    }
    this.#taking = false;
    if (this.#isSettled()) for (const resolve of this.#settled.splice(0)) resolve();
  }

  async #takeMissing(): Promise<void> {
    const { lease, runners, messages, guest, logger } = this.#options;
    if (!lease.isHeld()) return;
    const runnerId = lease.runnerId;
    await this.#free(runnerId, this.#strays(runnerId));
    if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
    const missing = this.#missing();
    this.#expect(missing);
    if (missing.length === 0) return;
    try {
      // Noted before: whatever the outcome, they may be leased now.
      for (const shardId of missing) this.#leased.add(shardId);
      const leased = await runners.acquireShards(runnerId, missing);
      if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
      if (leased.length > 0) {
        const epochs = await messages.claimShards(leased);
        if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
        for (const [index, shardId] of leased.entries()) {
          const epoch = epochs[index];
          if (epoch === undefined || this.#held.has(shardId)) continue;
          this.#held.set(shardId, "serving");
          guest.take({ shardId, epoch });
          this.#options.acquired(shardId);
        }
        this.#expect(this.#missing());
      }
    } catch (error) {
      // The outcome of a claim may be unknown. Claiming again raises the epoch again, and that settles it.
      logger.warn("Shards could not be claimed; trying again", {
        shards: missing.length,
        error: String(error),
      });
    }
    const target = new Set(this.#options.target());
    this.#giveUp(this.owned.filter((shardId) => !target.has(shardId)));
    if (this.#missing().length > 0 || this.#strays(runnerId).length > 0) this.#retry();
  }

  /** What may be leased under this identity, and is neither held nor wanted. */
  #strays(runnerId: string): readonly ShardId[] {
    if (this.#lessee !== runnerId) this.#leased.clear();
    this.#lessee = runnerId;
    const target = new Set(this.#options.target());
    return [...this.#leased].filter((shardId) => !this.#held.has(shardId) && !target.has(shardId));
  }

  /** Frees shards and tells their next owners. Those that could not be freed are tried again. */
  async #free(runnerId: string, shardIds: readonly ShardId[]): Promise<void> {
    if (shardIds.length === 0) return;
    try {
      await this.#options.runners.releaseShards(runnerId, shardIds);
      if (this.#lessee === runnerId) for (const shardId of shardIds) this.#leased.delete(shardId);
      this.#options.released(shardIds);
    } catch (error) {
      this.#options.logger.warn("Shards could not be freed; trying again", {
        shards: shardIds.length,
        error: String(error),
      });
      this.#retry();
    }
  }

  #retry(): void {
    if (this.#stopped || this.#retrying !== undefined) return;
    this.#retrying = this.#options.clock.setTimer(RETRY_MS, () => {
      this.#retrying = undefined;
      this.reconcileNow();
    });
  }

  #missing(): readonly ShardId[] {
    return this.#options.target().filter((shardId) => !this.#held.has(shardId));
  }

  #isSettled(): boolean {
    return (
      this.#stopped ||
      (this.#options.lease.isHeld() &&
        this.#debounce === undefined &&
        !this.#taking &&
        this.#missing().length === 0)
    );
  }

  #expect(shardIds: readonly ShardId[]): void {
    const next = new Set(shardIds);
    const gone = [...this.#expected].filter(
      (shardId) => !next.has(shardId) && this.#held.get(shardId) !== "serving",
    );
    this.#expected = next;
    if (gone.length > 0) this.#options.guest.unexpect(gone);
    if (shardIds.length > 0) this.#options.guest.expect(shardIds);
  }

  #drop(shardIds: readonly ShardId[], reason: string): void {
    if (shardIds.length === 0) return;
    for (const shardId of shardIds) this.#held.delete(shardId);
    this.#options.guest.drop(shardIds, reason);
    for (const shardId of shardIds) this.#options.lost(shardId, reason);
  }
}
