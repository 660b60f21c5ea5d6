// ShardOwner: brings the shards that this runner holds in line with those that it should hold.
//
// Takes leases, claims epochs, hands shards to their guest (the entities), has them drained, and frees them. Decides
// nothing about requests and computes no assignment.
//
//   S1  A shard is served only under a lease held now and an epoch claimed after that lease was taken.
//   S2  A shard given up is drained first and freed after; a shard lost is dropped at once, all lost shards together.
//   S3  What an await brings back counts only if lease, identity and target are still the same. None is waited for once
//       everything is dropped: a backend that does not answer must not keep what is leased here from being freed.
//   S4  A shard that may be leased to this runner, and is neither held nor wanted, is freed, however often that takes: its
//       lease would not run out by itself while this runner is a member. Not before what must end first has ended there. And
//       it is neither leased anew nor released once more while its release is on the way.
//   S5  Shards are given up after the debounce only, so that they move once when several runners come. They are taken as
//       soon as they are free: nobody else serves them.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { Outage } from "../clock/outage.ts";
import type { Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { HandOver } from "./hand-over.ts";
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
  /** Whether nothing runs or waits on the shard now. */
  isIdle(shardId: ShardId): boolean;
  /** Whether something that was dropped goes on, which must have ended before the shard is another runner's. */
  isEnding(shardId: ShardId): boolean;
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

type Holding = "serving" | "draining" | "drained";

export class ShardOwner {
  readonly #options: ShardOwnerOptions;
  /** Of claims, and of releases. */
  readonly #claimOutage: Outage;
  readonly #freeOutage: Outage;
  readonly #held = new Map<ShardId, Holding>();
  /** What may be leased to `#lessee` (S4). */
  readonly #leased = new Set<ShardId>();
  #lessee: string | null = null;
  /** Shards whose release is on the way, by identity: leased anew under the same one, they would be freed behind its back. */
  readonly #freeing = new Map<ShardId, string>();
  #expected: ReadonlySet<ShardId> = new Set();
  #debounce: Timer | undefined;
  #retrying: Timer | undefined;
  #taking = false;
  /** What is to be taken next, of what is missing. */
  #asked = new Set<ShardId>();
  #takeAgain = false;
  /** Ends the wait of `#takeMissing`, while it waits. */
  #stopWaiting: (() => void) | undefined;
  readonly #handOver: HandOver;
  #stopped = false;
  #hasServedAll = false;
  #settled: (() => void)[] = [];

  constructor(options: ShardOwnerOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#claimOutage = new Outage({ clock, logger, ended: "No shard is left that could not be claimed" });
    this.#freeOutage = new Outage({ clock, logger, ended: "No shard is left that could not be freed" });
    this.#handOver = new HandOver({
      clock: options.clock,
      isIdle: (shardId) => options.guest.isIdle(shardId),
      isDue: (shardId) =>
        this.#held.get(shardId) === "serving" && (this.#stopped || !options.target().includes(shardId)),
      drain: (shardId) => this.#drain(shardId),
      free: (shardIds) => this.#freeDrained(shardIds),
    });
  }

  /** The shards served now. */
  get owned(): readonly ShardId[] {
    return [...this.#held].filter(([, holding]) => holding === "serving").map(([shardId]) => shardId);
  }

  /** Whether it has served all of its shards since it had none: what it lacks since is on the move to it. */
  get hasServedAll(): boolean {
    return this.#hasServedAll;
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

  /** Compares and acts at once, but gives nothing up while a debounce is under way (S5). */
  reconcileNow(): void {
    if (this.#stopped || !this.#options.lease.isHeld()) return;
    this.#giveUpUnwanted();
    void this.#take(this.#missing());
  }

  /** These shards may be free now: takes those that should be here. Returns whether any of them should. */
  takeFree(shardIds: readonly ShardId[]): boolean {
    if (this.#stopped || !this.#options.lease.isHeld()) return false;
    const missing = new Set(this.#missing());
    const wanted = shardIds.filter((shardId) => missing.has(shardId));
    if (wanted.length > 0) void this.#take(wanted);
    return wanted.length > 0;
  }

  /** Members left: what they held may be free now. */
  takeMissing(): void {
    this.takeFree(this.#missing());
  }

  /** Resolves when every shard of the target is served. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  /** The lease is over, or storage is out of reach: nothing may be served any more. */
  dropAll(reason: string): void {
    this.#hasServedAll = false;
    this.#drop([...this.#held.keys()], reason);
    this.#expect([]);
    this.#stopWaiting?.();
  }

  /** A write was refused: another runner claimed the shard. */
  fenced(shardId: ShardId): void {
    if (!this.#held.has(shardId)) return;
    this.#drop([shardId], "a write was refused: the shard was claimed again");
    this.#retry();
  }

  /** Gives every shard up in order. Resolves when all are drained and freed. */
  async stop(): Promise<void> {
    this.#end();
    this.#expect([]);
    this.#handOver.begin(this.owned);
    await this.#handOver.settled();
  }

  /** Stops at once and frees nothing, as a crash does. */
  halt(): void {
    this.#end();
    this.#handOver.cancel();
  }

  #end(): void {
    this.#stopped = true;
    this.#debounce?.cancel();
    this.#retrying?.cancel();
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  #giveUpUnwanted(): void {
    if (this.#debounce !== undefined) return;
    const target = new Set(this.#options.target());
    this.#handOver.begin(this.owned.filter((shardId) => !target.has(shardId)));
  }

  async #drain(shardId: ShardId): Promise<boolean> {
    const { lease, guest, lost } = this.#options;
    const { runnerId } = lease;
    this.#held.set(shardId, "draining");
    await guest.drain(shardId);
    // Lost or fenced while it drained: then it was dropped, and there is nothing to free.
    if (this.#held.get(shardId) !== "draining" || runnerId !== lease.runnerId) return false;
    this.#held.set(shardId, "drained");
    lost(shardId, "moved to another runner");
    return true;
  }

  async #freeDrained(shardIds: readonly ShardId[]): Promise<void> {
    const { lease, target } = this.#options;
    // Those lost since are left out: they may be served again, under another lease.
    const stillDrained = (shardId: ShardId): boolean => this.#held.get(shardId) === "drained";
    const freed = shardIds.filter(stillDrained);
    await this.#free(lease.runnerId, freed);
    for (const shardId of freed.filter(stillDrained)) this.#held.delete(shardId);
    if (this.#stopped) return;
    // The target may have come back to this runner while they drained.
    const wanted = new Set(target());
    void this.#take(freed.filter((shardId) => wanted.has(shardId)));
  }

  async #take(shardIds: readonly ShardId[]): Promise<void> {
    for (const shardId of shardIds) this.#asked.add(shardId);
    this.#takeAgain = true;
    if (this.#taking) return;
    this.#taking = true;
    while (this.#takeAgain && !this.#stopped) {
      this.#takeAgain = false;
      await this.#takeMissing();
    }
    this.#taking = false;
    if (!this.#isSettled()) return;
    if (this.#held.size > 0) this.#hasServedAll = true;
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  async #takeMissing(): Promise<void> {
    const { lease, runners, messages, guest } = this.#options;
    if (!lease.isHeld()) return;
    const runnerId = lease.runnerId;
    // Where something has to end first, a little later (S4).
    const strays = this.#strays(runnerId).filter(
      (shardId) => !guest.isEnding(shardId) && this.#freeing.get(shardId) !== runnerId,
    );
    await this.#free(runnerId, strays);
    if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
    this.#expect(this.#missing());
    const asked = this.#missing().filter((shardId) => this.#asked.has(shardId));
    this.#asked.clear();
    if (asked.length === 0) return this.#retryMissing(runnerId);
    try {
      // Noted before: whatever the outcome, they may be leased now.
      for (const shardId of asked) this.#leased.add(shardId);
      const acquiring = runners.acquireShards(runnerId, asked);
      const leased = await this.#unlessDropped(acquiring);
      if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
      if (leased === null) {
        const landed = (): void => this.#leasedLate(runnerId, asked);
        acquiring.then(landed, landed);
        return this.#retryMissing(runnerId);
      }
      if (leased.length > 0) {
        const epochs = await this.#unlessDropped(messages.claimShards(leased));
        if (this.#stopped || !lease.isHeld() || runnerId !== lease.runnerId) return;
        if (epochs === null) return this.#retryMissing(runnerId);
        for (const [index, shardId] of leased.entries()) {
          const epoch = epochs[index];
          if (epoch === undefined) continue;
          this.#held.set(shardId, "serving");
          guest.take({ shardId, epoch });
          this.#options.acquired(shardId);
        }
        this.#expect(this.#missing());
      }
    } catch (error) {
      // The outcome of a claim may be unknown. Claiming again raises the epoch again, and that settles it.
      this.#claimOutage.failed("Shards could not be claimed; trying again", {
        shards: asked.length,
        error: String(error),
      });
    }
    // The target may have changed meanwhile.
    this.#giveUpUnwanted();
    this.#retryMissing(runnerId);
  }

  /** Waits for a call, but not beyond `dropAll()`: then null. What the call did all the same, a later one settles (S4). */
  async #unlessDropped<Result>(call: Promise<Result>): Promise<Result | null> {
    const dropped = new Promise<null>((resolve) => {
      this.#stopWaiting = () => resolve(null);
    });
    try {
      return await Promise.race([call, dropped]);
    } finally {
      this.#stopWaiting = undefined;
    }
  }

  /** An acquisition that was not waited for may have landed behind a release: then it is these shards' lease (S4). */
  #leasedLate(runnerId: string, shardIds: readonly ShardId[]): void {
    if (this.#lessee !== runnerId) return;
    for (const shardId of shardIds) this.#leased.add(shardId);
    this.#retry();
  }

  #retryMissing(runnerId: string): void {
    const missing = this.#missing().length;
    const strays = this.#strays(runnerId).length;
    if (missing === 0) this.#claimOutage.succeeded();
    if (strays === 0) this.#freeOutage.succeeded();
    if (missing > 0 || strays > 0) this.#retry();
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
    for (const shardId of shardIds) {
      this.#freeing.set(shardId, runnerId);
      // Before: an acquisition may land behind the release, and is noted while the answer to that is on its way.
      if (this.#lessee === runnerId) this.#leased.delete(shardId);
    }
    try {
      await this.#options.runners.releaseShards(runnerId, shardIds);
      this.#options.released(shardIds);
    } catch (error) {
      if (this.#lessee === runnerId) for (const shardId of shardIds) this.#leased.add(shardId);
      this.#freeOutage.failed("Shards could not be freed; trying again", {
        shards: shardIds.length,
        error: String(error),
      });
    } finally {
      for (const shardId of shardIds)
        if (this.#freeing.get(shardId) === runnerId) this.#freeing.delete(shardId);
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
    const { lease, target } = this.#options;
    return target().filter(
      (shardId) => !this.#held.has(shardId) && this.#freeing.get(shardId) !== lease.runnerId,
    );
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
    // Of those that have drained it was said.
    const lost = shardIds.filter((shardId) => this.#held.get(shardId) !== "drained");
    for (const shardId of shardIds) this.#held.delete(shardId);
    this.#options.guest.drop(shardIds, reason);
    for (const shardId of lost) this.#options.lost(shardId, reason);
  }
}
