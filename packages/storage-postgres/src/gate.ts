import { randomBytes } from "node:crypto";
import type { Epoch, Fence, ShardId } from "@holdfast/core/adapter";

/** The advisory lock under which a session writes for the shards that it claimed itself (migration-9.ts). */
export class Gate {
  /** A bigint that no other session has. */
  readonly id: string = randomBytes(8).readBigInt64BE().toString();
  readonly #claimed = new Map<ShardId, Epoch>();

  /** The session claimed a shard. */
  opened(shardId: ShardId, epoch: Epoch): void {
    this.#claimed.set(shardId, epoch);
  }

  /** The gate's id, if there are fences and it stands for all of them. Null: the rows of their shards have to be locked. */
  for(fences: Iterable<Fence>): string | null {
    let isAsked = false;
    for (const { shardId, epoch } of fences) {
      if (this.#claimed.get(shardId) !== epoch) return null;
      isAsked = true;
    }
    return isAsked ? this.id : null;
  }
}
