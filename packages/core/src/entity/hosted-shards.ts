// HostedShards: the shards that are here, those that are on their way here, and what a read of storage asks of them.

import { getHeapStatistics } from "node:v8";
import type { BriefMap } from "../data/brief-map.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { HostedShard } from "./hosted-shard.ts";
import type { Held, PageRead } from "./inbox.ts";
import { Parking } from "./parking.ts";
import { SkippedRequests } from "./skipped-requests.ts";

/** A payload is there as it came and as its handler gets it. So this is a seventh of the heap, or more where inputs have many parts. */
const ROOM = getHeapStatistics().heap_size_limit / 16;

export class HostedShards {
  readonly #shards = new Map<ShardId, HostedShard>();
  readonly #skipped = new SkippedRequests();
  readonly #parking = new Parking();
  readonly #leaseIsHeld: () => boolean;
  readonly #room: number;
  /** Counts the readings of storage. */
  #reads = 0;

  /**
   * @param leaseIsHeld whether this runner's lease is held at this moment
   * @param room for how many characters of payloads there is room in memory
   */
  constructor(leaseIsHeld: () => boolean, room: number = ROOM) {
    this.#leaseIsHeld = leaseIsHeld;
    this.#room = room;
  }

  get(shardId: ShardId): HostedShard | undefined {
    return this.#shards.get(shardId);
  }

  values(): Iterable<HostedShard> {
    return this.#shards.values();
  }

  /** The shard, while requests for it are admitted here. */
  served(shardId: ShardId): HostedShard | undefined {
    const shard = this.#shards.get(shardId);
    return shard?.isServing === true && this.#leaseIsHeld() ? shard : undefined;
  }

  /** The shard, while this request of a handler that runs on it is admitted here. */
  servedForNested(envelope: Envelope): HostedShard | undefined {
    const shard = this.#shards.get(envelope.address.shardId);
    if (shard === undefined || !this.#leaseIsHeld()) return undefined;
    return shard.isServing || shard.takesNested(envelope) ? shard : undefined;
  }

  /** These are about to come: requests for them wait here. */
  expect(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) if (!this.#shards.has(shardId)) this.#parking.open(shardId);
  }

  /** These come, or do not come after all: requests wait for them no more. */
  unexpect(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) this.#parking.close(shardId);
  }

  unexpectAll(): void {
    this.#parking.closeAll();
  }

  /** Resolves when a shard that is on its way here has come, or will not. Null: it is not on its way. */
  arrival(shardId: ShardId): Promise<void> | null {
    return !this.#shards.has(shardId) && this.#parking.isOpen(shardId) ? this.#parking.wait(shardId) : null;
  }

  /** @param now wall time */
  add(fence: Fence, now: number): void {
    this.#shards.set(fence.shardId, new HostedShard(fence, now, this.#skipped));
  }

  delete(shardId: ShardId): void {
    this.#shards.delete(shardId);
    this.#skipped.forgetShard(shardId);
  }

  /** Entity types were registered: what no code handled may be served now. */
  forgetSkipped(): void {
    // They ask what was left out.
    for (const shard of this.#shards.values()) shard.forgetUnserved();
    this.#skipped.clear();
  }

  /**
   * All that is due is about to be read, in as many pages as it takes.
   *
   * @param now monotonic time
   */
  beginAll(now: number): void {
    this.#skipped.beginRead(now);
  }

  /** A page is about to be read for those that are served of these. */
  beginRead(shardIds: Iterable<ShardId> = this.#shards.keys()): PageRead {
    this.#reads += 1;
    const number = this.#reads;
    const shards: HostedShard[] = [];
    // A runner may have tens of thousands, and reads for each request that is only stored: the lease is asked for once.
    for (const shardId of this.#leaseIsHeld() ? shardIds : []) {
      const shard = this.#shards.get(shardId);
      if (shard?.isServing !== true) continue;
      shard.beginRead(number);
      shards.push(shard);
    }
    return {
      number,
      shardIds: shards.map(({ fence }) => fence.shardId),
      covers: (shardId) => this.served(shardId)?.isReadBy(number) === true,
      caughtUp: () => {
        // What was read while the lease was over was not taken.
        if (this.#leaseIsHeld()) for (const shard of shards) if (shard.isServing) shard.endRead(number);
      },
    };
  }

  /**
   * What a read is to leave out: what is in memory, has no room there, or has no code here; and where there is too much, what
   * would only wait. What those wait for that are at work has nothing to do itself, or ends.
   */
  held(requests: BriefMap<HostedRequest>): Held {
    const sequences: number[] = [];
    let payload = 0;
    for (const { sequence, envelope } of requests.current) {
      if (sequence !== null) sequences.push(sequence);
      payload += envelope.payload.length;
    }
    for (const sequence of this.#skipped.sequences()) sequences.push(sequence);
    const full = [...this.#skipped.entities()];
    for (const shard of this.#shards.values()) {
      const unready = shard.unready(payload > this.#room);
      // Nearly always nothing, of hundreds of shards.
      if (unready.length > 0) full.push(...unready);
    }
    return { sequences, full, payload, room: this.#room };
  }
}
