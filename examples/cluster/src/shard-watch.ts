// ShardWatch: asks, again and again, an entity of each shard who owns it. What it sees is what callers get.
//
// A shard whose entity does not answer in time has no owner. How long one had none is as exact as the interval.

import { setTimeout as wait } from "node:timers/promises";
import type { Cluster } from "@holdfast/core";
import { Whereabouts, type Sighting } from "./whereabouts.ts";

export interface ShardWatchOptions {
  readonly shards: number;
  readonly intervalMs: number;
  /** An answer that takes longer counts as none. */
  readonly timeoutMs: number;
}

/** A runner as the answers show it. */
export interface SeenRunner extends Omit<Sighting, "shardId"> {
  readonly shards: number;
  /** The slowest of its latest answers. */
  readonly answerMs: number;
}

interface ShardSeen {
  readonly entityId: string;
  owner: Sighting | null;
  answeredAt: number;
  answerMs: number;
}

export class ShardWatch {
  readonly #cluster: Cluster;
  readonly #options: ShardWatchOptions;
  readonly #seen = new Map<string, ShardSeen>();
  readonly #stopping = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  #longestMs = 0;

  constructor(cluster: Cluster, options: ShardWatchOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** Resolves once every shard has answered; goes on watching until `stop()`. */
  async start(): Promise<void> {
    await this.#findEntities();
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  /** The shards that did not answer when last asked. */
  get ownerless(): readonly string[] {
    return [...this.#seen].filter(([, { owner }]) => owner === null).map(([shardId]) => shardId);
  }

  /** The longest time in milliseconds between two answers of one shard, one that still waits for its next included. */
  get longestWithoutOwnerMs(): number {
    const now = performance.now();
    const open = [...this.#seen.values()].filter(({ owner }) => owner === null);
    return Math.max(this.#longestMs, ...open.map(({ answeredAt }) => now - answeredAt));
  }

  /** Whoever answers for a shard, by pid. */
  get runners(): ReadonlyMap<number, SeenRunner> {
    const runners = new Map<number, SeenRunner>();
    for (const { owner, answerMs } of this.#seen.values()) {
      if (owner === null) continue;
      const { runner, pid, address } = owner;
      const before = runners.get(pid) ?? { shards: 0, answerMs: 0 };
      runners.set(pid, {
        runner,
        pid,
        address,
        shards: before.shards + 1,
        answerMs: Math.max(before.answerMs, answerMs),
      });
    }
    return runners;
  }

  /** The owner of each shard, sorted by shard; null for those without. */
  get owners(): ReadonlyMap<string, Sighting | null> {
    return new Map(
      [...this.#seen]
        .map(([shardId, { owner }]) => [shardId, owner] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  }

  /** An id falls into a shard by its hash: ids are tried until one of each shard is known. */
  async #findEntities(): Promise<void> {
    for (
      let batch = 0;
      this.#seen.size < this.#options.shards && !this.#stopping.signal.aborted;
      batch += 1
    ) {
      const ids = Array.from({ length: this.#options.shards }, (_, index) => `watch-${batch}-${index}`);
      await Promise.all(ids.map((entityId) => this.#meet(entityId)));
    }
  }

  async #meet(entityId: string): Promise<void> {
    const sentAt = performance.now();
    const owner = await this.#ask(entityId);
    if (owner === null || this.#seen.has(owner.shardId)) return;
    const answeredAt = performance.now();
    this.#seen.set(owner.shardId, { entityId, owner, answeredAt, answerMs: answeredAt - sentAt });
  }

  async #watch(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await Promise.all([...this.#seen.values()].map((shard) => this.#look(shard)));
      await wait(this.#options.intervalMs, undefined, { signal: this.#stopping.signal }).catch(
        () => undefined,
      );
    }
  }

  async #look(shard: ShardSeen): Promise<void> {
    const sentAt = performance.now();
    shard.owner = await this.#ask(shard.entityId);
    if (shard.owner === null) return;
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - shard.answeredAt);
    shard.answeredAt = now;
    shard.answerMs = now - sentAt;
  }

  async #ask(entityId: string): Promise<Sighting | null> {
    try {
      return await this.#cluster
        .entity(Whereabouts, entityId)
        .who(undefined, { timeout: this.#options.timeoutMs, signal: this.#stopping.signal });
    } catch {
      return null;
    }
  }
}
