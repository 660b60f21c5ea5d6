import type { Epoch, Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError } from "../errors/storage.ts";

/** The epoch of each shard. A write that checks its fence and then writes without an `await` between is fenced (INV-1). */
export class MemoryEpochs {
  readonly #epochs = new Map<ShardId, Epoch>();

  raise(shardId: ShardId): Epoch {
    const epoch = (this.#epochs.get(shardId) ?? 0) + 1;
    this.#epochs.set(shardId, epoch);
    return epoch;
  }

  /** @throws {FencedError} the shard was claimed again, or never under this epoch */
  check(fence: Fence): void {
    const current = this.#epochs.get(fence.shardId);
    if (current !== fence.epoch) {
      throw new FencedError({ shardId: fence.shardId, epoch: fence.epoch, current: current ?? null });
    }
  }
}
