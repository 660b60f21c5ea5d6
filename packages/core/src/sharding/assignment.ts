import type { RunnerRecord } from "../data/runner-record.ts";
import { shardGroupOf, shardIdsOf, type ShardId } from "../data/shard-id.ts";
import { assignShards } from "./rendezvous.ts";

/** Which runner each shard belongs to, by one list of members. */
export class Assignment {
  /** Sorted by id. */
  readonly runners: readonly RunnerRecord[];
  readonly #shardsPerGroup: number;
  readonly #byId: ReadonlyMap<string, RunnerRecord>;
  /** Owner by shard, computed group by group when first asked for. Of all groups in one: each request asks for its owner. */
  readonly #owners = new Map<ShardId, RunnerRecord>();
  /** What was asked for as the shards of a runner. */
  readonly #shardsOf = new Map<string, readonly ShardId[]>();
  /** The shards that have an owner, of the groups that were asked for. */
  readonly #owned = new Map<string, readonly ShardId[]>();

  constructor(members: readonly RunnerRecord[], shardsPerGroup: number) {
    this.runners = members.toSorted((a, b) =>
      a.runnerId < b.runnerId ? -1 : a.runnerId > b.runnerId ? 1 : 0,
    );
    this.#shardsPerGroup = shardsPerGroup;
    this.#byId = new Map(members.map((member) => [member.runnerId, member]));
  }

  /** Undefined while nobody serves the shard's group. */
  ownerOf(shardId: ShardId): RunnerRecord | undefined {
    const known = this.#owners.get(shardId);
    if (known !== undefined) return known;
    this.#ownedIn(shardGroupOf(shardId));
    return this.#owners.get(shardId);
  }

  /** Whether somebody serves this shard group. */
  hosts(group: string): boolean {
    return this.#servingIn(group).length > 0;
  }

  shardsOf(runnerId: string, groups: readonly string[]): readonly ShardId[] {
    const key = JSON.stringify([runnerId, groups]);
    let shards = this.#shardsOf.get(key);
    if (shards === undefined) {
      shards = groups.flatMap((group) =>
        this.#ownedIn(group).filter((shardId) => this.#owners.get(shardId)?.runnerId === runnerId),
      );
      this.#shardsOf.set(key, shards);
    }
    return shards;
  }

  /** The runner of this id, if it is of the shard's group; also one of weight 0, which may hold the shard still. */
  runnerFor(shardId: ShardId, runnerId: string): RunnerRecord | undefined {
    const member = this.#byId.get(runnerId);
    return member !== undefined && isOfGroup(member, shardGroupOf(shardId)) ? member : undefined;
  }

  memberOf(runnerId: string): RunnerRecord | undefined {
    return this.#byId.get(runnerId);
  }

  has(runnerId: string): boolean {
    return this.#byId.has(runnerId);
  }

  #ownedIn(group: string): readonly ShardId[] {
    const known = this.#owned.get(group);
    if (known !== undefined) return known;
    const assigned = assignShards(shardIdsOf(group, this.#shardsPerGroup), this.#servingIn(group));
    for (const [shardId, runnerId] of assigned) {
      const owner = this.#byId.get(runnerId);
      if (owner !== undefined) this.#owners.set(shardId, owner);
    }
    const owned = [...assigned.keys()];
    this.#owned.set(group, owned);
    return owned;
  }

  #servingIn(group: string): readonly RunnerRecord[] {
    return this.runners.filter((runner) => isOfGroup(runner, group) && runner.weight > 0);
  }
}

function isOfGroup(member: RunnerRecord, group: string): boolean {
  return member.role === "runner" && member.shardGroups.includes(group);
}
