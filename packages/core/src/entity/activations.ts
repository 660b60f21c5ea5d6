// Activations: the entities in memory on the shards that are here. Each is made for a request, and leaves when it is of no more
// use: at once if it keeps nothing, else when it is evicted (eviction.ts, shard-departure.ts).

import type { Clock } from "../adapter/clock.ts";
import type { Logger } from "../contract/logger.ts";
import { describeThrown } from "../contract/thrown.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import { Activation, type ActivationHooks } from "./activation.ts";
import { isQueued, type EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { HostedShards } from "./hosted-shards.ts";

export interface ActivationsOptions {
  readonly clock: Clock;
  readonly shards: HostedShards;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly mailboxCapacity: number;
  readonly concurrency: number;
  readonly run: ActivationHooks["run"];
  /** One was made. */
  readonly activated: () => void;
  /** There may be work in storage for which there is room now. */
  readonly wake: () => void;
}

export class Activations {
  readonly #options: ActivationsOptions;
  /** Of all activations: each has no functions of its own. */
  readonly #hooks: ActivationHooks;

  constructor(options: ActivationsOptions) {
    this.#options = options;
    this.#hooks = { run: options.run, ended: (activation) => this.#ended(activation) };
  }

  get size(): number {
    let size = 0;
    for (const shard of this.#options.shards.values()) size += shard.activations.size;
    return size;
  }

  /** The one that takes requests of this tag, if it is in memory. */
  resident(
    shard: HostedShard,
    behavior: EntityBehavior,
    address: EntityAddress,
    tag: string,
  ): Activation | undefined {
    return shard.activations.get(keyOf(behavior, address, tag));
  }

  /** The one that takes requests of this tag. Made if it is not in memory. */
  activate(shard: HostedShard, behavior: EntityBehavior, address: EntityAddress, tag: string): Activation {
    const key = keyOf(behavior, address, tag);
    const existing = shard.activations.get(key);
    if (existing !== undefined) return existing;
    const { mailboxCapacity, concurrency, counters, activated } = this.#options;
    const { contract } = behavior;
    const activation = new Activation({
      key,
      address,
      behavior,
      fence: shard.fence,
      mailboxCapacity: contract.mailboxCapacity ?? mailboxCapacity,
      concurrency: isQueued(behavior, tag) ? 1 : (contract.concurrency ?? concurrency),
      leaving: shard.leaving,
      hooks: this.#hooks,
    });
    counters.activations += 1;
    shard.activations.set(key, activation);
    activated();
    return activation;
  }

  /** What keeps nothing in memory leaves with its last request, or when that did not come to it after all. */
  leaveIfDone(activation: Activation): void {
    if (activation.behavior.keepsNothing !== true || !activation.isIdle || activation.isBacklogged) return;
    if (this.#options.shards.get(activation.fence.shardId)?.remove(activation) === true)
      this.#options.counters.evictions += 1;
  }

  /** Calls what its code has for that. Never rejects. */
  async evict(activation: Activation): Promise<void> {
    this.#options.counters.evictions += 1;
    await activation.evict((error) => {
      this.#options.logger.error("An onEvict callback failed", {
        entity: entityKey(activation.address),
        error: describeThrown(error),
      });
    });
  }

  /** A request left the mailbox without having run: what is behind it may start, or the shard be quiet. */
  madeRoom(activation: Activation): void {
    activation.pump();
    this.#shardOf(activation)?.checkQuiet();
  }

  #ended(activation: Activation): void {
    activation.idleSince = activation.isIdle ? this.#options.clock.monotonic() : null;
    const shard = this.#shardOf(activation);
    if (shard === undefined) return;
    shard.checkQuiet();
    if (activation.isBacklogged && activation.mailbox.size * 2 <= activation.mailbox.capacity) {
      activation.isBacklogged = false;
      shard.markUnreadFor(activation.address);
      this.#options.wake();
    }
    this.leaveIfDone(activation);
  }

  /** Undefined: it left, and perhaps came back without this activation. */
  #shardOf({ fence }: Activation): HostedShard | undefined {
    const shard = this.#options.shards.get(fence.shardId);
    return shard?.fence === fence ? shard : undefined;
  }
}

/** Under what the activation for requests of a tag is kept. */
function keyOf(behavior: EntityBehavior, address: EntityAddress, tag: string): string {
  // A space is in no name of a type, so no other entity has this key.
  return isQueued(behavior, tag) ? `queued ${entityKey(address)}` : entityKey(address);
}
