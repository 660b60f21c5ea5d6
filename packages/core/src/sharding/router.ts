// Router: who is a member, and which runner each shard belongs to by the members that are live now.
//
// Every member computes the same answer from the same list; nobody coordinates. It says where a shard should be. Whether
// that runner holds it already, that runner alone knows.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { shardGroupOf, shardIdOf, type ShardId } from "../data/shard-id.ts";
import { assignShards } from "./rendezvous.ts";
import { shardIdFor } from "./shard-hash.ts";

export interface RouterOptions {
  readonly storage: RunnerStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shardsPerGroup: number;
  /** How often the list is read although nothing announced a change. */
  readonly refreshIntervalMs: number;
  readonly changed: (change: { joined: readonly RunnerRecord[]; left: readonly RunnerRecord[] }) => void;
}

export class Router {
  readonly #options: RouterOptions;
  #runners: readonly RunnerRecord[] = [];
  /** Owner by shard, computed group by group when first asked for after a change. */
  #owners = new Map<string, ReadonlyMap<ShardId, RunnerRecord>>();
  #timer: Timer | undefined;
  #unwatch: (() => Promise<void>) | undefined;
  #reading: Promise<void> | undefined;
  #readAgain = false;
  #closed = false;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** The live members, sorted by id. */
  get runners(): readonly RunnerRecord[] {
    return this.#runners;
  }

  async start(): Promise<void> {
    this.#unwatch = await this.#options.storage.watch(() => void this.refresh());
    await this.refresh();
    this.#tick();
  }

  async stop(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#unwatch?.().catch(() => undefined);
  }

  shardOf(group: string, entityId: string): ShardId {
    return shardIdFor(group, entityId, this.#options.shardsPerGroup);
  }

  /** The runner that should own the shard, or undefined while nobody serves its group. */
  ownerOf(shardId: ShardId): RunnerRecord | undefined {
    return this.#ownersIn(shardGroupOf(shardId)).get(shardId);
  }

  /** The shards of these groups that this runner should own. */
  shardsOf(runnerId: string, groups: readonly string[]): readonly ShardId[] {
    return groups.flatMap((group) =>
      [...this.#ownersIn(group)]
        .filter(([, owner]) => owner.runnerId === runnerId)
        .map(([shardId]) => shardId),
    );
  }

  /** Whether some live runner says that it serves this entity type. */
  serves(entityType: string): boolean {
    return this.#runners.some(
      (runner) => runner.role === "runner" && runner.entityTypes.includes(entityType),
    );
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
        this.#update(await this.#options.storage.listRunners());
      } catch (error) {
        // The last list stays in force: a wrong route costs a rejection, no list at all would cost every request.
        this.#options.logger.warn("The members could not be listed", { error: String(error) });
      }
    }
  }

  #update(listed: readonly RunnerRecord[]): void {
    if (this.#closed) return;
    const before = this.#runners;
    const runners = listed.toSorted((a, b) =>
      a.runnerId < b.runnerId ? -1 : a.runnerId > b.runnerId ? 1 : 0,
    );
    if (JSON.stringify(before) === JSON.stringify(runners)) return;
    this.#runners = runners;
    this.#owners = new Map();
    const [idsBefore, idsNow] = [idsOf(before), idsOf(runners)];
    this.#options.changed({
      joined: runners.filter((runner) => !idsBefore.has(runner.runnerId)),
      left: before.filter((runner) => !idsNow.has(runner.runnerId)),
    });
  }

  #ownersIn(group: string): ReadonlyMap<ShardId, RunnerRecord> {
    const known = this.#owners.get(group);
    if (known !== undefined) return known;
    const serving = this.#runners.filter(
      (runner) => runner.role === "runner" && runner.weight > 0 && runner.shardGroups.includes(group),
    );
    const byId = new Map(serving.map((runner) => [runner.runnerId, runner]));
    const shardIds = Array.from({ length: this.#options.shardsPerGroup }, (_, number) =>
      shardIdOf(group, number),
    );
    const owners = new Map<ShardId, RunnerRecord>();
    for (const [shardId, runnerId] of assignShards(shardIds, serving)) {
      const owner = byId.get(runnerId);
      if (owner !== undefined) owners.set(shardId, owner);
    }
    this.#owners.set(group, owners);
    return owners;
  }
}

function idsOf(runners: readonly RunnerRecord[]): ReadonlySet<string> {
  return new Set(runners.map((runner) => runner.runnerId));
}
