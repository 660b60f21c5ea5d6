// Router: who is a member, and which runner each shard belongs to by the members that are live now.
//
// Every member computes the same answer from the same list; nobody coordinates. It says where a shard should be. Whether
// that runner holds it already, that runner alone knows.
//
//   T1  After a change, a shard is asked for where it was for as long as runners wait before they act on a change, if that
//       runner is still there: its next owner does not have it yet. Whoever was refused there asks the next owner at once.
//       A runner that leaves in order is there until its record is gone, with a weight of 0.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { Outage } from "../clock/outage.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { shardGroupOf, shardIdsOf, type ShardId } from "../data/shard-id.ts";
import { Assignment } from "./assignment.ts";
import { shardNumberOf } from "./shard-hash.ts";

export interface RouterOptions {
  readonly storage: RunnerStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shardsPerGroup: number;
  /** How often the list is read although nothing announced a change. */
  readonly refreshIntervalMs: number;
  /** How long runners wait after a change before they act on it. */
  readonly debounceMs: number;
  readonly changed: (change: RouteChange) => void;
  /** Carries out a call of the lease store, and notes how it went. */
  readonly observed: <Result>(call: () => Promise<Result>) => Promise<Result>;
}

/** What a new list of members has that the last one had not, and the other way round. */
export interface RouteChange {
  readonly joined: readonly RunnerRecord[];
  readonly left: readonly RunnerRecord[];
  /** Somebody left or gave up weight: shards may be free now, or soon. */
  readonly freesShards: boolean;
}

export class Router {
  readonly #options: RouterOptions;
  readonly #outage: Outage;
  #assignment: Assignment;
  /** The one before the latest changes, while runners wait before they act on them (T1). */
  #former: Assignment | null = null;
  /** Shards that were not where they had been. */
  readonly #moved = new Set<ShardId>();
  /** By group. One text for each shard: a new one for each request would be hashed anew by each map that it is looked up in. */
  readonly #shardIds = new Map<string, readonly ShardId[]>();
  #debounce: Timer | undefined;
  #timer: Timer | undefined;
  #unwatch: (() => Promise<void>) | undefined;
  #reading: Promise<void> | undefined;
  #readAgain = false;
  #closed = false;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#outage = new Outage({ clock, logger, ended: "The members are listed again" });
    this.#assignment = new Assignment([], options.shardsPerGroup);
  }

  /** The live members, sorted by id. */
  get runners(): readonly RunnerRecord[] {
    return this.#assignment.runners;
  }

  async start(): Promise<void> {
    this.#unwatch = await this.#options.storage.watch(() => void this.refresh());
    await this.refresh();
    this.#tick();
  }

  async stop(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#debounce?.cancel();
    await this.#unwatch?.().catch(() => undefined);
  }

  shardOf(group: string, entityId: string): ShardId {
    const { shardsPerGroup } = this.#options;
    let shardIds = this.#shardIds.get(group);
    if (shardIds === undefined) {
      shardIds = shardIdsOf(group, shardsPerGroup);
      this.#shardIds.set(group, shardIds);
    }
    return shardIds[shardNumberOf(entityId, shardsPerGroup)] as ShardId;
  }

  /** The runner to ask for the shard: its owner, or who was it until a moment ago (T1). Undefined while nobody serves its group. */
  ownerOf(shardId: ShardId): RunnerRecord | undefined {
    const former = this.#moved.has(shardId) ? undefined : this.#former?.ownerOf(shardId);
    const there = former === undefined ? undefined : this.#assignment.runnerFor(shardId, former.runnerId);
    return there ?? this.#assignment.ownerOf(shardId);
  }

  /** The shards of these groups that this runner should own. */
  shardsOf(runnerId: string, groups: readonly string[]): readonly ShardId[] {
    return this.#assignment.shardsOf(runnerId, groups);
  }

  /** The shard was not where it was asked for. */
  doubt(shardId: ShardId): void {
    if (this.#former !== null) this.#moved.add(shardId);
    void this.refresh();
  }

  /** Whether some live runner of the shard's group says that it serves this entity type. */
  serves({ entityType, shardId }: Pick<EntityAddress, "entityType" | "shardId">): boolean {
    return this.groupsServing(entityType).includes(shardGroupOf(shardId));
  }

  /** The shard groups of live runners that say that they serve this entity type. */
  groupsServing(entityType: string): readonly string[] {
    const serving = this.runners.filter(
      ({ role, entityTypes }) => role === "runner" && entityTypes.includes(entityType),
    );
    return [...new Set(serving.flatMap(({ shardGroups }) => shardGroups))];
  }

  /** Whether some live runner hosts this shard group. */
  hosts(group: string): boolean {
    return this.#assignment.hosts(group);
  }

  /** Reads the list of members. One read at a time; a call during a read makes another one follow it. Never rejects. */
  refresh(): Promise<void> {
    this.#readAgain = true;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  #tick(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.setTimer(
      this.#options.refreshIntervalMs,
      () => void this.refresh().then(() => this.#tick()),
    );
  }

  async #read(): Promise<void> {
    while (this.#readAgain && !this.#closed) {
      this.#readAgain = false;
      try {
        this.#update(await this.#options.observed(() => this.#options.storage.listRunners()));
        this.#outage.succeeded();
      } catch (error) {
        // Its connection was closed under it.
        if (this.#closed) return;
        // The last list stays in force: a wrong route costs a rejection, no list at all would cost every request. Those that are
        // rejected ask for a list, too: a line for each would be a flood.
        this.#outage.failed("The members could not be listed; the last list stays in force", {
          error: String(error),
        });
      }
    }
  }

  #update(listed: readonly RunnerRecord[]): void {
    if (this.#closed) return;
    const before = this.#assignment;
    const after = new Assignment(listed, this.#options.shardsPerGroup);
    if (JSON.stringify(before.runners) === JSON.stringify(after.runners)) return;
    this.#assignment = after;
    if (before.runners.length > 0) this.#remember(before);
    const left = before.runners.filter((runner) => !after.has(runner.runnerId));
    this.#options.changed({
      joined: after.runners.filter((runner) => !before.has(runner.runnerId)),
      left,
      freesShards:
        left.length > 0 ||
        before.runners.some((runner) => runner.weight > (after.memberOf(runner.runnerId)?.weight ?? 0)),
    });
  }

  /** Counted from the first change, as runners count. */
  #remember(before: Assignment): void {
    if (this.#former !== null) return;
    this.#former = before;
    this.#debounce = this.#options.clock.setTimer(this.#options.debounceMs, () => {
      this.#former = null;
      this.#moved.clear();
    });
  }
}
