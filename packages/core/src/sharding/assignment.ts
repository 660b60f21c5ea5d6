import type { RunnerRecord } from "../data/runner-record.ts";
import { shardGroupOf, shardIdOf, type ShardId } from "../data/shard-id.ts";
import { assignShards } from "./rendezvous.ts";

/** Which runner each shard belongs to, by one list of members. */
export class Assignment {
  /** Sorted by id. */
  readonly runners: readonly RunnerRecord[];
  readonly #shardsPerGroup: number;
  readonly #byId: ReadonlyMap<string, RunnerRecord>;
  /** By group, computed when first asked for. */
  readonly #owners = new Map<string, ReadonlyMap<ShardId, RunnerRecord>>();
  /** The same of all those groups in one: each request asks for its owner. */
  readonly #ownerByShard = new Map<ShardId, RunnerRecord>();

  constructor(members: readonly RunnerRecord[], shardsPerGroup: number) {
    this.runners = members.toSorted((a, b) =>
      a.runnerId < b.runnerId ? -1 : a.runnerId > b.runnerId ? 1 : 0,
    );
    this.#shardsPerGroup = shardsPerGroup;
    this.#byId = new Map(members.map((member) => [member.runnerId, member]));
  }

  /** Undefined while nobody serves the shard's group. */
  ownerOf(shardId: ShardId): RunnerRecord | undefined {
    return this.#ownerByShard.get(shardId) ?? this.#ownersIn(shardGroupOf(shardId)).get(shardId);
  }

  shardsOf(runnerId: string, groups: readonly string[]): readonly ShardId[] {
    return groups.flatMap((group) =>
      [...this.#ownersIn(group)]
        .filter(([, owner]) => owner.runnerId === runnerId)
        .map(([shardId]) => shardId),
    );
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

  #ownersIn(group: string): ReadonlyMap<ShardId, RunnerRecord> {
    const known = this.#owners.get(group);
    if (known !== undefined) return known;
    const serving = this.runners.filter((runner) => isOfGroup(runner, group) && runner.weight > 0);
    const shardIds = Array.from({ length: this.#shardsPerGroup }, (_, number) => shardIdOf(group, number));
    const owners = new Map<ShardId, RunnerRecord>();
    for (const [shardId, runnerId] of assignShards(shardIds, serving)) {
      const owner = this.#byId.get(runnerId);
      if (owner === undefined) continue;
      owners.set(shardId, owner);
      this.#ownerByShard.set(shardId, owner);
    }
    this.#owners.set(group, owners);
    return owners;
  }
}

function isOfGroup(member: RunnerRecord, group: string): boolean {
  return member.role === "runner" && member.shardGroups.includes(group);
}
