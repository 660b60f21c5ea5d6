// Claims: what this session holds, and how its writes prove it.
//
// An epoch alone proves nothing here. A Redis that crashed may have forgotten a claim that it had answered, or everything,
// and give the same epoch to the next one. So each claim has a random id, which storage keeps beside the epoch, and a write
// names it. The number of the session's connection goes with it: what was sent on an older connection cannot pass any more.
//
//   C1  Of each shard the latest claim of this session is here: an earlier one never proves anything again.
//   C2  The latest has the highest epoch, also where Redis has forgotten those before it: a claim names the epoch above which
//       its own has to be (lua/claim-shards.ts). What winds down under an older one is told from it by that.

import type { Epoch, Fence, ShardId } from "@holdfast/core/adapter";

interface Claim {
  readonly epoch: Epoch;
  readonly id: string;
}

export class Claims {
  readonly #claims = new Map<ShardId, Claim>();

  /** Takes in a claim that storage granted. */
  add(shardId: ShardId, claim: Claim): void {
    const known = this.#claims.get(shardId);
    if (known === undefined || known.epoch < claim.epoch) this.#claims.set(shardId, claim);
  }

  /** The epoch of the latest claim of this session; 0 where there was none. */
  epochOf(shardId: ShardId): Epoch {
    return this.#claims.get(shardId)?.epoch ?? 0;
  }

  get shardIds(): readonly ShardId[] {
    return [...this.#claims.keys()];
  }

  /** Each shard and the id of its claim, one after the other. */
  list(): string[] {
    return [...this.#claims].flatMap(([shardId, { id }]) => [shardId, id]);
  }

  /**
   * What a script checks of a fence: shard, epoch and claim.
   *
   * @param link the number of the connection on which it goes
   */
  proofOf(fence: Fence | null, link: number): readonly [shard: string, epoch: string, claim: string] {
    if (fence === null) return ["", "", ""];
    const known = this.#claims.get(fence.shardId);
    const epoch = String(fence.epoch);
    // Another session's claim, of which only the epoch is known here.
    if (known === undefined || fence.epoch > known.epoch) return [fence.shardId, epoch, ""];
    return [fence.shardId, epoch, fence.epoch === known.epoch ? claimText(known.id, link) : "void"];
  }
}

/** A claim as storage keeps it, after the epoch. */
export function claimText(id: string, link: number): string {
  return `${id} ${link}`;
}
