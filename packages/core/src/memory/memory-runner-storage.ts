// MemoryRunnerStorage: members and leases in the memory of one process.
//
// MemoryRunners is the data, MemoryRunnerStorage one session's handle on it. A lease is over by the monotonic clock of the
// session that asks; the sessions of one process share that clock.
//
//   L1  A shard in `#holders` is held by a member whose record is there. Both go together.
//   L2  A member whose lease ran out is removed before anything else is looked at. It comes back only by `register`.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { MemorySession } from "./memory-session.ts";

interface Member {
  record: RunnerRecord;
  ttlMs: number;
  /** Monotonic time. */
  expiresAt: number;
  readonly shardIds: Set<ShardId>;
}

/** Whom changes are told to, each by a timer of its own clock, so that a member that is stopped learns of them later. */
interface Watcher {
  readonly clock: Clock;
  readonly changed: () => void;
  timer: Timer | null;
  /** Whether the timer waits for a lease to run out, and not to tell of a change. */
  waiting: boolean;
}

/** The data of a memory runner storage, shared by its sessions. */
export class MemoryRunners {
  readonly #members = new Map<string, Member>();
  readonly #holders = new Map<ShardId, string>();
  readonly #watchers = new Set<Watcher>();

  register(record: RunnerRecord, ttlMs: number, now: number): void {
    this.#expire(now);
    const member = this.#members.get(record.runnerId);
    if (member === undefined) {
      this.#members.set(record.runnerId, { record, ttlMs, expiresAt: now + ttlMs, shardIds: new Set() });
    } else {
      member.record = record;
      member.ttlMs = ttlMs;
      member.expiresAt = now + ttlMs;
    }
    this.#tell();
  }

  refresh(runnerId: string, now: number): "held" | "lost" {
    this.#expire(now);
    const member = this.#members.get(runnerId);
    if (member === undefined) return "lost";
    member.expiresAt = now + member.ttlMs;
    return "held";
  }

  unregister(runnerId: string, now: number): void {
    this.#expire(now);
    const member = this.#members.get(runnerId);
    if (member === undefined) return;
    this.#remove(runnerId, member);
    this.#tell();
  }

  listRunners(now: number): readonly RunnerRecord[] {
    this.#expire(now);
    return Array.from(this.#members.values(), ({ record }) => record);
  }

  acquireShards(runnerId: string, shardIds: readonly ShardId[], now: number): readonly ShardId[] {
    this.#expire(now);
    const member = this.#members.get(runnerId);
    if (member === undefined) return [];
    return shardIds.filter((shardId) => {
      const holder = this.#holders.get(shardId);
      if (holder !== undefined) return holder === runnerId;
      this.#holders.set(shardId, runnerId);
      member.shardIds.add(shardId);
      return true;
    });
  }

  releaseShards(runnerId: string, shardIds: readonly ShardId[], now: number): void {
    this.#expire(now);
    let freed = false;
    for (const shardId of shardIds) {
      if (this.#holders.get(shardId) !== runnerId) continue;
      this.#holders.delete(shardId);
      this.#members.get(runnerId)?.shardIds.delete(shardId);
      freed = true;
    }
    if (freed) this.#tell();
  }

  listShards(now: number): ReadonlyMap<ShardId, string> {
    this.#expire(now);
    return new Map(this.#holders);
  }

  watch(clock: Clock, changed: () => void): () => void {
    const watcher: Watcher = { clock, changed, timer: null, waiting: false };
    this.#watchers.add(watcher);
    this.#awaitExpiry(watcher);
    return () => {
      this.#watchers.delete(watcher);
      watcher.timer?.cancel();
    };
  }

  /** Removes the members whose leases are over. */
  #expire(now: number): void {
    let expired = false;
    for (const [runnerId, member] of this.#members) {
      if (member.expiresAt > now) continue;
      this.#remove(runnerId, member);
      expired = true;
    }
    if (expired) this.#tell();
  }

  #remove(runnerId: string, member: Member): void {
    this.#members.delete(runnerId);
    for (const shardId of member.shardIds) this.#holders.delete(shardId);
  }

  /** Tells every watcher, once for all changes of one moment. */
  #tell(): void {
    for (const watcher of this.#watchers) {
      if (watcher.timer !== null && !watcher.waiting) continue;
      watcher.timer?.cancel();
      watcher.waiting = false;
      watcher.timer = watcher.clock.setTimer(0, () => {
        watcher.timer = null;
        this.#awaitExpiry(watcher);
        watcher.changed();
      });
    }
  }

  /** Looks again when the first lease may be over. A refresh only makes that look come too early. */
  #awaitExpiry(watcher: Watcher): void {
    let first = Number.POSITIVE_INFINITY;
    for (const { expiresAt } of this.#members.values()) first = Math.min(first, expiresAt);
    if (first === Number.POSITIVE_INFINITY) return;
    watcher.waiting = true;
    watcher.timer = watcher.clock.setTimer(Math.max(0, first - watcher.clock.monotonic()), () => {
      watcher.timer = null;
      watcher.waiting = false;
      this.#expire(watcher.clock.monotonic());
      if (watcher.timer === null) this.#awaitExpiry(watcher);
    });
  }
}

/** One session's handle on the members and leases. */
export class MemoryRunnerStorage implements RunnerStorage {
  readonly supports: { readonly watch: boolean } = { watch: true };
  readonly #runners: MemoryRunners;
  readonly #session: MemorySession;
  readonly #clock: Clock;
  readonly #watches = new Set<() => void>();

  constructor(runners: MemoryRunners, session: MemorySession, clock: Clock) {
    this.#runners = runners;
    this.#session = session;
    this.#clock = clock;
  }

  async register(record: RunnerRecord, ttlMs: number): Promise<void> {
    this.#session.assertOpen("register");
    this.#runners.register(record, ttlMs, this.#clock.monotonic());
  }

  async refresh(runnerId: string): Promise<"held" | "lost"> {
    this.#session.assertOpen("refresh");
    return this.#runners.refresh(runnerId, this.#clock.monotonic());
  }

  async unregister(runnerId: string): Promise<void> {
    this.#session.assertOpen("unregister");
    this.#runners.unregister(runnerId, this.#clock.monotonic());
  }

  async listRunners(): Promise<readonly RunnerRecord[]> {
    this.#session.assertOpen("listRunners");
    return this.#runners.listRunners(this.#clock.monotonic());
  }

  async acquireShards(runnerId: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]> {
    this.#session.assertOpen("acquireShards");
    return this.#runners.acquireShards(runnerId, shardIds, this.#clock.monotonic());
  }

  async releaseShards(runnerId: string, shardIds: readonly ShardId[]): Promise<void> {
    this.#session.assertOpen("releaseShards");
    this.#runners.releaseShards(runnerId, shardIds, this.#clock.monotonic());
  }

  async listShards(): Promise<ReadonlyMap<ShardId, string>> {
    this.#session.assertOpen("listShards");
    return this.#runners.listShards(this.#clock.monotonic());
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    this.#session.assertOpen("watch");
    const end = this.#runners.watch(this.#clock, changed);
    this.#watches.add(end);
    return async () => {
      this.#watches.delete(end);
      end();
    };
  }

  /** Ends the watches that nobody ended. The leases stay: they are the members', not the session's. */
  close(): void {
    for (const end of this.#watches) end();
    this.#watches.clear();
  }
}
